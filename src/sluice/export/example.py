"""The Python example next to an ONNX file, which needs numpy, onnxruntime and the tokenizer's library, if any."""

from sluice.plain import PlainMapping

TOKENIZE = {
    None: """
def tokenize(text, rules):
    for pattern, new in rules["clean"]:
        text = re.sub(pattern, new, text)
    text = unicodedata.normalize(rules["unicode"], text) if rules["unicode"] else text
    text = text.lower() if rules["lowercase"] == "text" else text
    for pattern, new in rules["replace"]:
        text = re.sub(pattern, new, text)
    tokens = re.findall(rules["pattern"], text)
    return [token.lower() for token in tokens] if rules["lowercase"] == "tokens" else tokens
""",
    "sacremoses": """
def tokenize(text, rules):
    tokens = sacremoses.MosesTokenizer(rules["language"]).tokenize(text, escape=False)
    return [token.lower() for token in tokens] if rules["lowercase"] == "tokens" else tokens
""",
    "sentencepiece": """
def tokenize(text, rules):
    for pattern, new in rules["clean"]:
        text = re.sub(pattern, new, text)
    text = unicodedata.normalize(rules["unicode"], text) if rules["unicode"] else text
    text = (text.lower() if rules["lowercase"] else text).strip()
    model = sentencepiece.SentencePieceProcessor(model_file=str(here / rules["model"]))
    first, *rest = [model.encode(part, out_type=str) for part in f" {text}".split("▁")] if text else [[]]
    return [*first, *(piece for pieces in rest for piece in ["<0xE2>", "<0x96>", "<0x81>", *pieces])]
""",
}
"""The function that splits a text into tokens, by the library that it needs."""

ENCODE = """

def encode(text, spec):
    ids = {token: index for index, token in enumerate(spec["vocabulary"]) if token not in spec["reserved"]}
    return [ids.get(token, spec["unknown_id"]) for token in tokenize(text, spec["tokenizer"])]
"""

CLASSIFY = """

texts = sys.argv[1:] or ["a text"]
rows = [encode(text, spec) or [spec["unknown_id"]] for text in texts]
end = spec["max_length"] - spec["head"]
rows = [row if len(row) <= spec["max_length"] else row[: spec["head"]] + row[len(row) - end :] for row in rows]
lengths = np.array([len(row) for row in rows])
ids = np.full((len(rows), lengths.max()), spec["padding_id"])
for row, (values, length) in enumerate(zip(rows, lengths)):
    ids[row, -length if spec["padding"] == "left" else 0 :][:length] = values
session = onnxruntime.InferenceSession(here / spec["programs"][0]["file"])
(probabilities,) = session.run(["probabilities"], {"ids": ids, "lengths": lengths})
for text, row in zip(texts, probabilities):
    print(json.dumps({"text": text, "probabilities": dict(zip(spec["labels"], row.tolist()))}))
"""

TAG = """

session = onnxruntime.InferenceSession(here / spec["programs"][0]["file"])
for text in sys.argv[1:] or ["a text"]:
    ids = np.array([encode(text, spec)])
    (probabilities,) = session.run(["probabilities"], {"ids": ids, "lengths": np.array([ids.shape[1]])})
    tags = [spec["labels"][index] for index in probabilities[0].argmax(-1)]
    print(json.dumps({"words": tokenize(text, spec["tokenizer"]), "tags": tags}))
"""

GENERATE = """

def ids_of(text):
    known, rules = set(spec["vocabulary"]), spec["tokenizer"]
    lines = [tokenize(line, rules) for line in text.split("\\n")]
    tokens = [token for line in lines for token in [spec["begin"], *line]]
    tokens = [token if token in known else token.lower() for token in tokens]
    ids = {token: index for index, token in enumerate(spec["vocabulary"]) if token not in spec["reserved"]}
    return [ids.get(token, spec["unknown_id"]) for token in tokens]


session = onnxruntime.InferenceSession(here / spec["programs"][0]["file"])
names = [output.name for output in session.get_outputs()]
ids, state = ids_of(" ".join(sys.argv[1:])), {}  # without a state, the text begins
chosen, total = [], 0.0
for _ in range(10):
    given = {"ids": np.array([ids]), "lengths": np.array([len(ids)]), **state}
    found = dict(zip(names, session.run(None, given)))
    state = {name.removeprefix("next_"): part for name, part in found.items() if name.startswith("next_")}
    ids = [int(found["log_probabilities"][0, -1].argmax())]
    total += float(found["log_probabilities"][0, -1, ids[0]])
    chosen.append(spec["vocabulary"][ids[0]])
print(json.dumps({"tokens": chosen, "log_probability": total}))
"""

PAIRS = """

def buckets(word, max_n, buckets):
    marked = f"<{word.lower()}>"
    ngrams = [marked[i : i + n] for n in range(2, max_n + 1) for i in range(len(marked) - n + 1)]
    ngrams = [*marked[1:-1], *ngrams, *([marked] if len(marked) > max_n else [])]
    return [zlib.crc32(ngram.encode("utf-8", "surrogatepass")) % buckets for ngram in ngrams]


given, rows, end = {}, {"": []}, spec["max_length"] - spec["head"]
for name, text in zip(("first", "second"), sys.argv[1:] or ["a text", "another text"]):
    words = tokenize(text, spec["tokenizer"]) or [""]
    words = words if len(words) <= spec["max_length"] else words[: spec["head"]] + words[len(words) - end :]
    rows.update({word: buckets(word, **spec["ngrams"]) if word else [] for word in words})
    given[name] = np.array([[list(rows).index(word) for word in words]])
    given[f"{name}_lengths"] = np.array([len(words)])
given["ngrams"] = np.full((len(rows), max(1, *map(len, rows.values()))), -1)
for row, values in enumerate(rows.values()):
    given["ngrams"][row, : len(values)] = values
session = onnxruntime.InferenceSession(here / spec["programs"][0]["file"])
(probabilities,) = session.run(["probabilities"], given)
print(json.dumps({"probabilities": dict(zip(spec["labels"], probabilities[0].tolist()))}))
"""

TRANSLATE = """

encoder, decoder = (onnxruntime.InferenceSession(here / program["file"]) for program in spec["programs"])
names = [[output.name for output in session.get_outputs()] for session in (encoder, decoder)]
wanted = [value.name for value in decoder.get_inputs() if value.name != "words"]
for text in sys.argv[1:] or ["a text"]:
    ids = np.array([[*encode(text, spec["source"]), spec["source"]["end_id"]]])
    given = {"source": ids, "source_lengths": np.array([ids.shape[1]])}
    state, words, target = dict(zip(names[0], encoder.run(None, given))), [], spec["target"]
    word, limit = target["begin_id"], int(spec["max_length_factor"] * ids.shape[1]) + spec["max_length_offset"]
    while len(words) < limit:
        given = {"words": np.array([word]), **{name: state[name] for name in wanted}}
        found = dict(zip(names[1], decoder.run(None, given)))
        word = int(found["log_probabilities"][0].argmax())
        if word == target["end_id"]:
            break
        words.append(target["vocabulary"][word])
        state |= {name.removeprefix("next_"): part for name, part in found.items() if name.startswith("next_")}
    print(json.dumps({"text": text, "words": words}))
"""

VALUES = """

session = onnxruntime.InferenceSession(here / spec["programs"][0]["file"])
first = session.get_inputs()[0]
shape = [1, 5] if len(first.shape) == 2 else [1, 5, first.shape[2]]
given = {first.name: np.zeros(shape, np.int64 if len(shape) == 2 else np.float32)}
if len(session.get_inputs()) > 1:
    given["lengths"] = np.array([5])
for output, value in zip(session.get_outputs(), session.run(None, given)):
    print(json.dumps({"output": output.name, "shape": value.shape, "first": value.ravel()[:3].tolist()}))
"""


def python_example(description: PlainMapping, json_file: str) -> str:
    """Returns a Python script that runs the ONNX files of an export.

    Args:
        description: content of the JSON file.
        json_file: its name.
    """
    kind, labels = description["kind"], description["labels"]
    source: PlainMapping = description.get("source") or description
    rules = source.get("tokenizer")
    body = _body(kind, labels is not None and rules is not None)
    library = None if rules is None else rules["library"]
    helpers = "" if body == VALUES else TOKENIZE[library] + (ENCODE if "encode(text" in body else "")
    modules = [name for name in ("re", "sys", "unicodedata", "zlib") if f"{name}." in helpers + body]
    third_party = ["numpy as np", "onnxruntime", *([library] if library and helpers else [])]
    lines = [
        f'"""Runs {description["programs"][0]["file"]} with ONNX Runtime; {json_file} describes the fields."""',
        "",
        *(f"import {name}" for name in sorted(["json", *modules])),
        "from pathlib import Path",
        "",
        *(f"import {name}" for name in third_party),
        "",
        "here = Path(__file__).parent",
        f'spec = json.loads((here / "{json_file}").read_text(encoding="utf-8"))',
        "",
    ]
    return "\n".join(lines) + helpers + body


def _body(kind: str, reads_text: bool) -> str:
    if kind == "SequenceLabeller":
        return TAG if reads_text else VALUES
    bodies = {"TextClassifier": CLASSIFY, "PairClassifier": PAIRS, "LanguageModel": GENERATE, "Seq2Seq": TRANSLATE}
    return bodies.get(kind, VALUES)
