"""The README.md of sample data."""

README = """\
# Sample data

Replace a file by your own of the same name and form, or point `--data` at a folder with these names.

| file | holds | needed |
|---|---|---|
| `text/train.jsonl` | texts to train on, one per line: `{"id": "1", "text": "..."}` | yes |
| `text/heldout.jsonl` | texts to measure the loss on; none of them may stand in `train.jsonl` | yes |
| `recordings/train.jsonl` | recordings to train on: `{"audio": "train/a.flac", "text": "hello", "voice": "me"}` | yes |
| `recordings/heldout.jsonl` | recordings to measure with; none of them may stand in `train.jsonl` | yes |
| `evaluation/cloze.jsonl` | stories with one true and two false endings | no |
| `evaluation/cloze_recordings.jsonl` | the same stories and endings, spoken | with the file above |
| `evaluation/questions.jsonl` | questions with four answers each | no |
| `evaluation/questions_recordings.jsonl` | the same questions, spoken | with the file above |

The folders `recordings/train`, `recordings/heldout` and so on hold the sound files. Paths in a table begin at the
table's folder. WAV, FLAC, MP3, Ogg and Opus of any sample rate are read. `voice` names who speaks.

A tokenizer needs an hour of speech at least, a text-to-token model ten hours of one voice. The six minutes here only
show the way.

Sources: Wikipedia (CC BY-SA 4.0), facts on countries (ODbL 1.0). The recordings are synthetic: the voice "heart" of
hibari-tts (Apache-2.0) reads these texts, and is called "me" here.
"""
