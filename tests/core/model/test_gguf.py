"""GGUF files: the network that was written comes back, and a sentence for every other file."""

import random
import struct

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from core import (
    LanguageModel,
    ModelError,
    is_on_this_machine,
    load_model,
    trace,
    unpack_gguf,
)
from core.model.gguf import SOURCE_FILE, GgufFile, unpacked_folder
from core.model.gguf_header import GgufHeader, GgufTensor, bits, read_header
from tests.conftest import PROMPT, SHARED, TARGET, random_network, tokenizer_of
from tests.gguf_files import random_blocks, sentencepiece_settings, write_gguf

CONTEXT = {"gpt2": 1024, "llama": 80}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKWARD_LENS_MODELS", str(tmp_path / "models"))


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_of("tiny-gpt2")


def network_of(kind, tokenizer):
    return random_network(kind, len(tokenizer), layers=2, context=CONTEXT[kind]).eval()


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def network(request, tokenizer):
    return network_of(request.param, tokenizer)


@pytest.fixture(scope="module")
def llama(tokenizer):
    return network_of("llama", tokenizer)


@pytest.fixture
def file(tmp_path, network, tokenizer):
    return write_gguf(tmp_path / "model.gguf", network, tokenizer)


def logits(network, model):
    ids = torch.tensor([model.encode(PROMPT)])
    with torch.no_grad():
        return network(ids).logits


def test_a_file_gives_back_the_network_exactly(file, network, tokenizer):
    model = load_model(str(file))
    for name, weight in network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], weight), name
    assert torch.equal(logits(network, model), logits(model.network, model))
    assert list(model.encode("Obama, 2024  twice")) == tokenizer("Obama, 2024  twice").input_ids
    assert trace(model, PROMPT, TARGET).loss > 0
    assert (model.source.words, model.source.kind) == ("32-bit file", "F32")


@pytest.mark.parametrize(("kind", "most"), [(Kind.F16, 0.03), (Kind.Q8_0, 0.5), (Kind.Q4_0, 8.0)])
def test_rounded_files_are_close_and_say_their_bits(tmp_path, network, tokenizer, kind, most):
    model = load_model(str(write_gguf(tmp_path / "m.gguf", network, tokenizer, kind)))
    difference = (logits(network, model) - logits(model.network, model)).abs().max()
    assert 0 < difference < most
    assert model.source.bits == {Kind.F16: 16, Kind.Q8_0: 8, Kind.Q4_0: 4}[kind]


def test_transformers_reads_the_same(file):
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
    ours = load_model(str(file)).network.state_dict()
    for name, weight in theirs.state_dict().items():
        assert torch.equal(ours[name], weight), name


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_other_precisions(file, dtype):
    model = load_model(str(file), dtype=dtype)
    assert model.precision.name == dtype
    assert trace(model, PROMPT, TARGET).loss > 0


def test_an_untied_network_keeps_its_decoding_matrix(tmp_path, tokenizer):
    network = network_of("llama", tokenizer)
    assert not network.config.tie_word_embeddings
    model = load_model(str(write_gguf(tmp_path / "m.gguf", network, tokenizer)))
    assert torch.equal(model.unembedding.weight, network.lm_head.weight)
    assert not torch.equal(model.unembedding.weight, model.network.model.embed_tokens.weight)


def test_a_blob_without_a_suffix_is_opened_as_what_it_is(file):
    blob = file.rename(file.with_name("sha256-0123"))
    assert load_model(str(blob)).n_layers == 2
    assert is_on_this_machine(str(blob))


def test_memory_is_checked_before_anything_is_read(file, monkeypatch):
    monkeypatch.setattr("core.model.loading.free_memory", lambda _: 1000)
    monkeypatch.setattr(GgufFile, "read", lambda *_: pytest.fail("read"))
    with pytest.raises(ModelError, match="needs at least.*free"):
        load_model(str(file))


# Llama 2's own tokenizer, and what most of its files are rounded to

LLAMA2 = SHARED / "tokenizers" / "llama2"
TEXTS = (
    "The capital of France is",
    "  two  spaces, and one behind ",
    "In 1984, 3.14159 and 2,983 of 1 2  3   4",
    "One. Two!\nThree?\n\n\tA tab, 'quoted' and \"doubly\".",
    "Zoë's naïve café — ☃ 日本語 😀 e\u0301 \u200b",
    "foo▁bar </s> <s> <0x0A> ß",
    "a",
)


@pytest.fixture(scope="module")
def llama2(tmp_path_factory):
    """Settings of the file, a model with the folder's tokenizer, and a model from the file."""
    if not (LLAMA2 / "tokenizer.model").is_file():
        pytest.skip("Llama 2's tokenizer is not on this machine")
    original = AutoTokenizer.from_pretrained(LLAMA2)
    network = random_network("llama", len(original), layers=1)
    settings = sentencepiece_settings(LLAMA2 / "tokenizer.model")
    file = write_gguf(tmp_path_factory.mktemp("llama2") / "m.gguf", network, original, **settings)
    return settings, LanguageModel(network, original), load_model(str(file))


@pytest.mark.parametrize("text", TEXTS)
def test_llama2s_vocabulary_cuts_as_its_folder_does(llama2, text):
    _, original, read = llama2
    assert read.encode(text) == original.encode(text)
    assert read.encode(text)[0] == 1
    assert read.tokenize(text) == original.tokenize(text)
    assert read.offsets(text) == original.offsets(text)
    for typed in ("Paris", " 2024", "☃", "two words"):
        assert read.target(text, typed) == original.target(text, typed)


def test_llama2s_pieces_and_decoding(llama2):
    _, original, read = llama2
    size = range(len(original.tokenizer))
    assert [read.token_text(i) for i in size] == [original.token_text(i) for i in size]
    for text in TEXTS:
        ids = list(original.encode(text))
        assert read.tokenizer.decode(ids) == original.tokenizer.decode(ids)
    assert read.tokenizer.eos_token_id == original.tokenizer.eos_token_id == 2


def test_a_file_that_says_no_space_in_front_is_refused(llama2, tmp_path):
    settings, original, _ = llama2
    settings = settings | {"tokenizer__ggml__add_space_prefix": False}
    file = write_gguf(tmp_path / "m.gguf", original.network, original.tokenizer, **settings)
    with pytest.raises(ModelError, match="no space before a text"):
        load_model(str(file))


@pytest.mark.parametrize("kind", [Kind.Q4_K, Kind.Q6_K])
def test_k_quants_are_read_as_gguf_reads_them(tmp_path, tokenizer, kind):
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
    )
    network = LlamaForCausalLM(config)
    names = {"ffn_gate": (512, 256), "ffn_down": (256, 512), "attn_v": (128, 256)}
    packed = {
        f"blk.0.{name}.weight": (random_blocks(kind, *shape, seed), kind)
        for seed, (name, shape) in enumerate(names.items())
    }
    rounded = {"attn_q": 4, "attn_k": 2}  # rows in pairs, a pair side by side; by heads
    for name, heads in rounded.items():
        packed[f"blk.0.{name}.weight"] = (random_blocks(kind, 64 * heads, 256, heads), kind)
    file = write_gguf(tmp_path / "m.gguf", network, tokenizer, packed=packed)
    block = load_model(str(file)).network.model.layers[0]
    expected = {
        name: gguf.quants.dequantize(packed[f"blk.0.{name}.weight"][0], kind)
        for name in (*names, *rounded)
    }
    assert all(np.isfinite(values).all() and values.std() > 0 for values in expected.values())
    assert np.array_equal(block.mlp.gate_proj.weight.numpy(), expected["ffn_gate"])
    assert np.array_equal(block.mlp.down_proj.weight.numpy(), expected["ffn_down"])
    assert np.array_equal(block.self_attn.v_proj.weight.numpy(), expected["attn_v"])
    for name, heads in rounded.items():
        ours = getattr(block.self_attn, f"{name[-1]}_proj").weight.numpy()
        rows = [64 * h + start + 2 * i for h in range(heads) for start in (0, 1) for i in range(32)]
        assert np.array_equal(ours, expected[name][rows])


# Unpacked


def test_unpacked_it_is_an_ordinary_folder_and_is_found_again(file, network):
    seen = []
    folder = unpack_gguf(file, on_progress=lambda *step: seen.append(step))
    assert folder == unpacked_folder(file)
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1] > 0
    for path in (str(folder), str(file)):
        model = load_model(path)
        assert model.folder == folder
        assert torch.equal(logits(network, model), logits(model.network, model))
        assert model.source.file == "model.gguf"
    assert unpack_gguf(file) == folder


def test_another_file_of_the_same_name_is_not_taken_for_it(tmp_path, tokenizer):
    file = write_gguf(tmp_path / "m.gguf", network_of("llama", tokenizer), tokenizer)
    folder = unpack_gguf(file)
    other = random_network("llama", len(tokenizer), seed=5, layers=2)
    write_gguf(file, other, tokenizer)
    assert unpacked_folder(file) != folder
    assert load_model(str(file)).folder is None


def test_an_ended_unpacking_leaves_nothing(file, tmp_path):
    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack_gguf(file, on_progress=stop)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_full_disk_is_said_first(file, monkeypatch):
    full = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr("core.model.gguf.shutil.disk_usage", lambda _: full)
    with pytest.raises(ModelError, match="on the disk.*BACKWARD_LENS_MODELS"):
        unpack_gguf(file)


def test_many_weights_are_kept_in_16_bits(file, monkeypatch):
    monkeypatch.setattr("core.model.gguf.HALF_FROM", 1)
    folder = unpack_gguf(file)
    assert (folder / SOURCE_FILE).is_file()
    assert (folder / "model.safetensors").stat().st_size < 0.6 * file.stat().st_size
    assert load_model(str(folder), dtype="float32").n_layers == 2


# Refused


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"llama__rope__scaling__type": "linear"}, "rope scaling"),
        ({"llama__rope__scaling__factor": 8.0}, "rope scaling"),
        ({"general__name": "mistral"}, "Mistral"),
        ({"llama__expert_count": 8}, "mixture of experts"),
        ({"split__count": 2}, "several parts"),
        ({"llama__block_count": 3}, "incomplete: 9 of its weights"),
        ({"llama__block_count": 1}, "weights that Llama does not have"),
        ({"llama__block_count": 4_000_000_000}, "block_count"),
        ({"llama__embedding_length": 64}, "rope.dimension_count|incomplete"),
        ({"llama__attention__head_count": None}, "head_count"),
        ({"llama__attention__head_count": 5}, "head_count"),
        ({"llama__rope__freq_base": -1.0}, "freq_base"),
        ({"llama__rope__dimension_count": 4}, "dimension_count"),
        ({"tokenizer__ggml__tokens": None}, "no tokenizer"),
        ({"tokenizer__ggml__merges": None}, "incomplete: it has no merges"),
        ({"tokenizer__ggml__model": "bert"}, "tokenizer.*kind"),
        ({"tokenizer__ggml__pre": "deepseek-llm"}, "cut into other tokens"),
        ({"tokenizer__ggml__tokens": ["a", "b", "c"]}, "incomplete|belong"),
        ({"tokenizer__ggml__bos_token_id": 9_999_999}, "do not belong together"),
        ({"llama__vocab_size": 5}, "do not belong together"),
    ],
)
def test_what_would_be_lost_or_wrong_is_refused(tmp_path, llama, tokenizer, changes, match):
    file = write_gguf(tmp_path / "m.gguf", llama, tokenizer, **changes)
    with pytest.raises(ModelError, match=match):
        load_model(str(file))


def test_stretched_positions_as_a_tensor_are_refused(file, llama):
    header = read_header(file)
    extra = GgufTensor("rope_freqs.weight", (4,), Kind.F32, 0, 16)
    header = GgufHeader(
        header.path, header.values, {**header.tensors, extra.name: extra}, header.size
    )
    from core.model.gguf_checks import check_gguf

    with pytest.raises(ModelError, match="rope scaling|does not have"):
        check_gguf(header)


def test_a_gpt2_of_another_length_is_refused(tmp_path, tokenizer):
    network = random_network("gpt2", len(tokenizer), layers=2, context=80)
    file = write_gguf(tmp_path / "m.gguf", network, tokenizer)
    with pytest.raises(ModelError, match="reads 80 tokens.*1,024"):
        load_model(str(file))


def test_other_architectures_and_other_files(tmp_path):
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "bloom")
    writer.add_tensor("a", np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match="'bloom'.*GPT-2 and Llama"):
        load_model(str(path))
    for content in (b"", b"GG", b"PK\x03\x04" + bytes(100), b"GGUF", b"GGUF" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="not a GGUF file|damaged|version"):
            load_model(str(path))
    path.write_bytes(b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + bytes(50))
    with pytest.raises(ModelError, match="processors of another kind"):
        load_model(str(path))
    with pytest.raises(ModelError, match="There is no file"):
        load_model(str(tmp_path / "nothing.gguf"))


def test_a_pickle_without_a_suffix_is_never_unpickled(tmp_path, monkeypatch):
    torch.save({"a": 1}, tmp_path / "blob")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("unpickled"))
    with pytest.raises(ModelError, match="not a GGUF file"):
        load_model(str(tmp_path / "blob"))


@pytest.mark.parametrize("keep", [1, 30, 1000, 50_000, -1, -40, -1000])
def test_cut_off_files(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ModelError, match="damaged|not a GGUF"):
        load_model(str(file))


def test_bytes_changed_anywhere_in_the_header_give_a_header_or_a_sentence(file):
    """Never another error, never memory for what the file claims."""
    whole = bytearray(file.read_bytes())
    end = min(tensor.start for tensor in read_header(file).tensors.values())
    edges = [*range(4, 900), *range(end - 1500, end)]  # settings, and the list of weights
    choose, sentences = random.Random(0), []
    for _ in range(600):
        changed = bytearray(whole)
        place, width = choose.choice(edges), choose.choice((1, 4, 8))
        ones = b"\xff" * (width - 1)
        changed[place : place + width] = choose.choice(
            (ones + b"\xff", bytes(width), choose.randbytes(width), ones + b"\x7f")
        )
        file.write_bytes(changed)
        try:
            GgufFile(file)
        except ModelError as error:
            sentences.append(str(error))
    assert len(sentences) > 300
    assert all(len(text) > 40 and text[-1] in ".)" for text in sentences)


def test_numbers_of_the_header_read_by_hand(file, network):
    header = read_header(file)
    assert header.architecture == network.config.model_type
    assert header.value("block_count") == 2
    own = network.state_dict()
    tied = network.config.tie_word_embeddings
    expected = sum(v.numel() for k, v in own.items() if not (tied and k == "lm_head.weight"))
    assert header.parameters == expected
    assert [bits(kind) for kind in (Kind.Q4_K, Kind.BF16, Kind.IQ2_XXS, Kind.F32)] == [4, 16, 2, 32]
