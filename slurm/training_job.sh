# Sourced by the .sbatch of a training, which sets $root and training_command (the tool and its arguments). Runs the
# command on all nodes of the allocation. Before the time limit, the run saves a checkpoint and the job is requeued.
# shellcheck shell=bash
[[ -f $root/slurm/site.env ]] || { echo "error: $root/slurm/site.env does not exist; copy slurm/site.env.example" >&2; exit 2; }
# shellcheck source=slurm/site.env.example
source "$root/slurm/site.env"
# A layout that does not fit these GPUs ends the job here, with status 2 and one line.
if [[ -n ${PLAN:-} && ${training_command[0]} == */pretrain.py ]]; then
    read -r -a plan <<<"$PLAN"
    "$root/.venv/bin/python" "$root/tools/plan_run.py" "${training_command[@]:1}" "${plan[@]}" \
        --gpus "$((SLURM_JOB_NUM_NODES * GPUS_PER_NODE))" --search false
fi
nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST") # no "| head -n 1": its closed pipe would end the job
first_node=${nodes%%$'\n'*}

# SLURM sends the signal to this shell only (B:). This shell passes it to srun, and so to every process of the step. The
# launcher must survive, so it starts with SIGUSR1 ignored. The training process sets its own handler: it saves a
# checkpoint and exits with status 0.
requeue=no interrupted=no
# shellcheck disable=SC2329  # the trap calls it
stop() {
    requeue=yes interrupted=yes
    kill -USR1 "$training"
}
trap stop USR1

srun --kill-on-bad-exit=1 bash -c 'trap "" USR1; exec "$@"' launch \
    "$root/.venv/bin/python" "$root/tools/launch.py" \
    --nnodes="$SLURM_JOB_NUM_NODES" --nproc-per-node="$GPUS_PER_NODE" \
    --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}" \
    --rdzv-endpoint="$first_node:$RENDEZVOUS_PORT" \
    "${training_command[@]}" &
training=$!

# A trapped signal interrupts `wait`: wait again until the training has exited.
while :; do
    interrupted=no status=0
    wait "$training" || status=$?
    [[ $interrupted == yes ]] || break
done

if [[ $requeue == yes && $status == 0 ]]; then
    if ((${SLURM_RESTART_COUNT:-0} >= MAX_RESTARTS)); then
        echo "stopped after $SLURM_RESTART_COUNT restarts (MAX_RESTARTS); submit again to go on"
        exit 0
    fi
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
