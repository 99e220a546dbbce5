"""`MegatronSpeechLM`: a model of lm-evaluation-harness. Importing this module registers it as `megatron_speech`.

Contexts and continuations are laid out as the harness lays them out for its own Hugging Face models. Text is encoded
with the ids that begin documents; what exceeds the positions is cut from the left. All ids compete, speech too.

Limitation: names of special tokens in a text are encoded as characters; there are no chat templates.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from lm_eval import utils
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

from megatron_speech.config.run.parallel import ParallelConfig, PrecisionConfig
from megatron_speech.inference.sampling import Sampling
from megatron_speech.inference.slot import AnswerSettings
from megatron_speech.lm_evaluation.checkpoint import Checkpoint
from megatron_speech.lm_evaluation.export import Export
from megatron_speech.lm_evaluation.network import Network
from megatron_speech.parallel import groups
from megatron_speech.parallel.world import world_from_environment
from megatron_speech.platform.number_format import DtypeSetting

BATCH_SIZE = 16
USED = ("until", "max_gen_toks", "do_sample", "temperature", "top_p")
"""What a task may say of writing."""
USUAL_DEVICE = "cuda:0"
"""What the harness adds where nobody names a device, also on machines without a GPU."""
_SLACK = 8
"""Tokens of a written text beyond the length of a stop sequence in bytes, within which it is looked for."""


@register_model("megatron_speech")
class MegatronSpeechLM(TemplateLM):
    """An export, or a training checkpoint."""

    def __init__(
        self,
        *,
        network: Network | None = None,
        pretrained: str | None = None,
        checkpoint: str | None = None,
        vocabulary: str | None = None,
        tensor_model_parallel_size: int = 1,
        pipeline_model_parallel_size: int = 1,
        dtype: DtypeSetting = "float32",
        device: str | None = None,
        batch_size: int | str = BATCH_SIZE,
        max_batch_size: int | None = None,
        max_length: int | None = None,
        max_gen_toks: int = 256,
        **unknown: Any,
    ) -> None:
        """Open a model.

        Args:
            network: a model that is open already, in place of the folders.
            pretrained: Hugging Face folder of `convert_to_hf`.
            checkpoint: checkpoint or run folder; needs `vocabulary`.
            vocabulary: vocabulary folder of the checkpoint.
            tensor_model_parallel_size: ranks that share each matrix of a checkpoint.
            pipeline_model_parallel_size: ranks that share the layers of a checkpoint.
            dtype: float32, bfloat16 or auto.
            device: of an export: cpu, cuda or auto. Ranks of a checkpoint take a GPU each where there are any.
            batch_size: answers that are written at a time.
            max_batch_size: not used; the harness gives it.
            max_length: longest sequence; None for all positions.
            max_gen_toks: longest answer, where a task does not say.
            unknown: other settings, all of which are mistakes.

        Raises:
            ValueError: for settings that are unknown or contradict each other, and as `load` of both networks.
        """
        super().__init__()
        _require_known(unknown)
        _require_settings(batch_size, dtype, [each for each in (network, pretrained, checkpoint) if each is not None])
        if pretrained is not None:
            network = Export.load(Path(pretrained), dtype=dtype, device=device or "cpu")
        elif checkpoint is not None:
            tensor = _number(tensor_model_parallel_size=tensor_model_parallel_size)
            pipeline = _number(pipeline_model_parallel_size=pipeline_model_parallel_size)
            network = _checkpoint(checkpoint, vocabulary, tensor, pipeline, dtype)
        assert network is not None
        self.network, self.name = network, str(pretrained or checkpoint or "network")
        self.batch_size, self.max_gen_toks = int(batch_size), _number(max_gen_toks=max_gen_toks)
        self.max_length = _longest(max_length, network.max_positions)

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None
    ) -> MegatronSpeechLM:
        """Open the model of a command line: `arg_dict` are its model_args, and win over what the harness adds."""
        added = {name: value for name, value in (additional_config or {}).items() if value is not None}
        if added.get("device") == USUAL_DEVICE:
            added["device"] = "auto"
        return cls(**added | arg_dict)

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: dict[str, Any] | None = None
    ) -> MegatronSpeechLM:
        """Like `create_from_arg_obj`, for settings such as ``pretrained=hf,dtype=bfloat16``."""
        return cls.create_from_arg_obj(utils.simple_parse_args_string(arg_string), additional_config)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.device

    @property
    def tokenizer_name(self) -> str:
        """Tells tokenizers apart in the caches of the harness."""
        return self.network.tokenizer.fingerprint

    @property
    def eot_token_id(self) -> int:
        """The id that ends documents."""
        return self.network.vocabulary.end_of_document

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without a context: the id that begins documents, or else the one that ends them."""
        return next(iter(self.network.vocabulary.begin_of_document), self.eot_token_id)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Ids of a text, after those that begin documents unless `add_special_tokens` is false."""
        begin = [] if add_special_tokens is False else self.network.vocabulary.begin_of_document
        return [*begin, *self.network.tokenizer.encode(string)]

    def tok_decode(self, ids: Iterable[int]) -> str:
        """Text of the text ids among `ids`."""
        vocabulary = self.network.vocabulary
        special = {vocabulary.end_of_document, *vocabulary.begin_of_document}
        return self.network.tokenizer.decode(
            [token for token in ids if vocabulary.text_mask(token) and token not in special]
        )

    def _loglikelihood_tokens(
        self, requests: list[tuple[Any, list[int], list[int]]], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        scored = self.network.score([self._fitting(context, asked) for _, context, asked in requests])
        for (texts, _, _), answer in zip(requests, scored, strict=True):
            if texts is not None:
                self.cache_hook.add_partial("loglikelihood", texts, answer)
        return scored

    def _fitting(self, context: list[int], asked: list[int]) -> tuple[list[int], list[int]]:
        """Context and continuation, cut from the left to the longest sequence and the id after it."""
        if len(asked) > self.max_length:
            raise ValueError(f"a continuation of {len(asked):,} tokens exceeds max_length={self.max_length:,}")
        return context[-(self.max_length + 1 - len(asked)) :], asked

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihood of whole texts, in windows of `max_length` that do not overlap in what they score."""
        windows: list[tuple[None, list[int], list[int]]] = []
        counts = []
        for (text,) in (request.args for request in requests):
            rolling = utils.get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            own = [(None, *window) for window in map(utils.make_disjoint_window, rolling)]
            windows += own
            counts.append(len(own))
        scores = iter(self._loglikelihood_tokens(windows))
        totals = [sum(next(scores)[0] for _ in range(count)) for count in counts]
        for request, total in zip(requests, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Write after each context until a stop sequence; greedily, unless a task asks for samples."""
        texts: dict[int, str] = {}
        groups_of: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            groups_of.setdefault(repr(sorted(request.args[1].items())), []).append(number)
        for numbers in groups_of.values():
            asked = requests[numbers[0]].args[1]
            for number, text in zip(numbers, self._written([requests[n].args[0] for n in numbers], asked), strict=True):
                texts[number] = text
                self.cache_hook.add_partial("generate_until", requests[number].args, text)
        return [texts[number] for number in range(len(requests))]

    def _written(self, contexts: Sequence[str], asked: dict[str, Any]) -> list[str]:
        """Answers to contexts that are asked alike."""
        given = normalize_gen_kwargs(asked, self.max_gen_toks)
        most = int(given["max_gen_toks"])
        if not 0 < most < self.max_length:
            raise ValueError(f"max_gen_toks={most} must be 1 to {self.max_length - 1:,}, as the model has positions")
        eos = self.network.tokenizer.decode([self.eot_token_id])
        stops = [stop for stop in handle_stop_sequences(given.get("until"), eos=eos) if stop]
        reach = max((len(stop.encode()) for stop in stops), default=0) + _SLACK

        def enough(place: int, tokens: Sequence[int]) -> bool:
            tail = self.tok_decode(tokens[-reach:])
            return any(stop in tail for stop in stops)

        settings = AnswerSettings(
            max_new_tokens=most,
            stop=[self.eot_token_id],
            sampling=_sampling(given),
        )
        prompts = [self.tok_encode(context)[-(self.max_length - most) :] for context in contexts]
        written = self.network.write(prompts, settings, batch_size=self.batch_size, enough=enough)
        return [postprocess_generated_text(self.tok_decode(tokens), stops, None) for tokens in written]


def _sampling(given: dict[str, Any]) -> Sampling:
    """Greedy, or as a task asks; ValueError for a way of sampling that we do not have."""
    if not given["do_sample"]:
        return Sampling(temperature=0.0)
    if unknown := sorted(given.keys() - USED):
        raise ValueError(f"generation_kwargs.{unknown[0]}: only {', '.join(USED)} are used; leave it out")
    return Sampling(temperature=float(given.get("temperature", 1.0)), top_p=float(given.get("top_p", 1.0)))


def _checkpoint(folder: str, vocabulary: str | None, tensor: int, pipeline: int, dtype: DtypeSetting) -> Checkpoint:
    """The checkpoint on rank 0; other ranks follow until it ends, and leave."""
    if vocabulary is None:
        raise ValueError(f"model_args: checkpoint={folder} needs vocabulary=FOLDER, the vocabulary of its run")
    world = world_from_environment()
    parallel = ParallelConfig(tensor_model_parallel_size=tensor, pipeline_model_parallel_size=pipeline)
    precision = PrecisionConfig(dtype=dtype)
    network = Checkpoint.load(Path(folder), Path(vocabulary), parallel=parallel, precision=precision, world=world)
    if world[0]:
        network.follow()
        groups.shutdown()
        raise SystemExit(0)
    network.release_at_exit()
    return network


def _require_known(unknown: dict[str, Any]) -> None:
    """Raise ValueError for the first unknown setting, with the nearest known one."""
    known = [name for name in inspect.signature(MegatronSpeechLM).parameters if name not in ("network", "unknown")]
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(known)}"
        raise ValueError(f"model_args: {name} is unknown; {hint}")


def _number(**given: Any) -> int:
    """The one setting `given`; ValueError if it is no whole number from 1."""
    ((name, value),) = given.items()
    if not str(value).isdecimal() or not int(value):
        raise ValueError(f"model_args: {name}={value} must be a whole number of at least 1; correct it")
    return int(value)


def _longest(asked: Any, positions: int) -> int:
    """Longest sequence that is `asked`, all `positions` if it is None; ValueError if the model has fewer."""
    length = positions if asked is None else _number(max_length=asked)
    if length > positions:
        raise ValueError(f"max_length={length} exceeds the {positions:,} positions of the model; lower it")
    return length


def _require_settings(batch_size: int | str, dtype: str, models: Sequence[object]) -> None:
    """Raise ValueError for a number of answers or a number format that cannot be, or unless there is one model."""
    if not str(batch_size).isdecimal() or not int(batch_size):
        raise ValueError(f"batch_size={batch_size} must be a number of at least 1; 16 is usual")
    if dtype not in get_args(DtypeSetting):
        raise ValueError(f"dtype={dtype} must be one of {', '.join(get_args(DtypeSetting))}; correct it")
    if len(models) != 1:
        raise ValueError("model_args: name either pretrained=FOLDER of an export, or checkpoint=FOLDER")
