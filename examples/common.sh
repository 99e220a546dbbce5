# Sourced by the examples' run.sh, which set $here (their own folder): what all of them do in one way.
# shellcheck shell=bash
root=$(cd "$here/../.." && pwd)
python=$root/.venv/bin/python
export TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error PYTHONUNBUFFERED=1

fail() { echo "error: $*" >&2; exit 2; }

# usage: show the comment that the script begins with.
usage() { sed -n '2,$ { /^#/!q; /^# shellcheck/d; s/^# \{0,1\}//p; }' "$0"; }

# options NAMES WORDS...: set a variable for each option among WORDS (--run-dir sets run_dir); NAMES lists those that there are.
options() {
    local names=" $1 " variable
    shift
    while (($#)); do
        [[ $1 != -h && $1 != --help ]] || { usage; exit 0; }
        [[ $# -ge 2 ]] || fail "$1 is the last word: an option takes a value; see --help"
        [[ $names == *" $1 "* ]] || fail "$1 is not an option; see --help"
        variable=${1#--}
        printf -v "${variable//-/_}" %s "$2"
        shift 2
    done
}

# enter FOLDER: go to the run folder, where assets/ is the cache beside .venv.
enter() {
    mkdir -p "$1" "$root/.cache/assets"
    cd "$1"
    link "$root/.cache/assets" assets
}

# link TARGET NAME: make a link once.
link() { [[ -e $2 ]] || ln -s "$1" "$2"; }

# tool TOOL YAML OVERRIDES...: run a tool with a settings file of the example.
tool() { "$python" "$root/tools/$1.py" --config "$here/$2.yaml" "${@:3}"; }

# run NAME TOOL YAML OVERRIDES...: one step.
run() {
    echo "== $1"
    tool "${@:2}"
}
