# Sourced by the .sbatch of an offline tool, which sets $root and $name. Run by hand, it submits tools/$name.py as an array
# job; inside a job, it runs that job's tasks, or joins the parts.
# shellcheck shell=bash
[[ -f $root/slurm/site.env ]] || { echo "error: $root/slurm/site.env does not exist; copy slurm/site.env.example" >&2; exit 2; }
# shellcheck source=slurm/site.env.example
source "$root/slurm/site.env"
tool=("$root/.venv/bin/python" "$root/tools/$name.py" "${@}")

if [[ -z ${SLURM_JOB_ID:-} ]]; then # run by hand
    tasks=$("${tool[@]}" --run.part=count)
    jobs=$((tasks < MAX_ARRAY_JOBS ? tasks : MAX_ARRAY_JOBS))
    script=$root/slurm/$name.sbatch
    array=$(sbatch --parsable --array="0-$((jobs - 1))" --cpus-per-task="$CPUS_PER_TASK" "$script" "${@}")
    array=${array%%;*} # sbatch prints "id;cluster" on a site with several clusters
    sbatch --dependency="afterok:$array" --kill-on-invalid-dep=yes "$script" "${@}"
elif [[ -n ${SLURM_ARRAY_TASK_ID:-} ]]; then
    export RAYON_NUM_THREADS=$CPUS_PER_TASK OMP_NUM_THREADS=$CPUS_PER_TASK
    srun --cpus-per-task="$CPUS_PER_TASK" \
        "${tool[@]}" --run.part=tasks --run.job="$SLURM_ARRAY_TASK_ID" --run.jobs="$SLURM_ARRAY_TASK_COUNT"
else
    srun "${tool[@]}" --run.part=finish
fi
