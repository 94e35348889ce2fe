"""Language models from files: SmolLM2 against transformers, folders, and what is refused."""

import copy
import functools
import json

import pytest
import torch
from tiny_assistant import byte_tokenizer, greedy

from samespace.assistant.language import read_language
from samespace.core.errors import UnknownAssistant, WeightsMismatch

PROMPTS = [
    "The capital of France is", "Once upon a time", "Water boils at", "def add(a, b):", "1, 2, 3, 4,", "The opposite of hot is",
    "A cat is an animal that", "My favourite colour is", "In 1969, people", "The sun rises in the", "To make tea, first",
    "Dear Sir or Madam,", "She opened the door and", "The three primary colours are", "An apple a day", "Birds can",
    "Question: What is 2 + 2? Answer:", "The largest ocean is", "Bread is made from", "<|im_start|>user\nHello<|im_end|>\n",
]  # fmt: skip


@pytest.fixture(scope="module")
def both(smollm2):
    """Our SmolLM2 and transformers', from the same GGUF file, and transformers' tokenizer."""
    import gguf
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    where = dict(gguf_file=smollm2.name)
    with pytest.MonkeyPatch.context() as patch:  # transformers reads the file three times, and makes the map of names 397 times
        for name in ("GGUFReader", "get_tensor_name_map"):
            patch.setattr(gguf, name, functools.cache(getattr(gguf, name)))
        theirs = AutoModelForCausalLM.from_pretrained(smollm2.parent, dtype=torch.float32, **where).eval()
        return read_language(smollm2), theirs, AutoTokenizer.from_pretrained(smollm2.parent, **where)


def test_smollm2_logits_are_transformers(both):
    """In double precision: in single, the number of threads changes the sums more than the implementation does."""
    ours, theirs, tokenizer = both
    ids = tokenizer("\n".join(PROMPTS), return_tensors="pt")["input_ids"]
    model, reference = (copy.deepcopy(some).double() for some in (ours.model, theirs))
    with torch.inference_mode():
        difference = model.logits(model(model.embed(ids))) - reference(ids).logits
    assert difference.abs().max() < 1e-4


def test_smollm2_answers_are_transformers(both):
    """Token by token, with a cache: each is the likeliest to transformers too, after the same tokens."""
    ours, theirs, _ = both
    for prompt in PROMPTS[::3]:
        ids = torch.tensor([ours.tokenizer.encode(prompt).ids])
        answer = greedy(ours.model, ids, 12)
        with torch.inference_mode():
            logits = theirs(torch.cat([ids, torch.tensor([answer])], dim=1)).logits[0]
        assert logits[ids.shape[1] - 1 : -1].argmax(dim=-1).tolist() == answer, prompt


def test_smollm2_tokenizer_is_transformers(both):
    ours, _, tokenizer = both
    for text in [*PROMPTS, "1234 quick  brown\n\n fox's  don't", "日本語 🎉 naïve \t x", "<|im_start|>user\nhi<|im_end|>", ""]:
        ids = ours.tokenizer.encode(text, add_special_tokens=False).ids
        assert ids == tokenizer(text)["input_ids"]
        assert ours.tokenizer.decode(ids, skip_special_tokens=False) == text


@pytest.fixture
def llama_folder(tmp_path):
    """A tiny random Llama as transformers saves it, in several shards."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=258, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(tmp_path, max_shard_size="30KB")
    byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    return tmp_path, model


def test_a_folder_in_shards(llama_folder):
    folder, theirs = llama_folder
    assert len(list(folder.glob("*.safetensors"))) > 1
    ours, ids = read_language(folder).model, torch.randint(258, (1, 9))
    with torch.inference_mode():
        torch.testing.assert_close(ours.logits(ours(ours.embed(ids))), theirs(ids).logits, atol=1e-5, rtol=1e-5)


def test_weights_of_another_size_are_refused(llama_folder):
    folder, _ = llama_folder
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))
    with pytest.raises(WeightsMismatch):
        read_language(folder)


def test_a_broken_gguf_is_refused(tmp_path, smollm2):
    (tmp_path / "cut.gguf").write_bytes(smollm2.read_bytes()[:100_000])
    with pytest.raises(UnknownAssistant, match="download it again"):
        read_language(tmp_path / "cut.gguf")
