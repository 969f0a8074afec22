"""An operator's file adds to what ships, or is the whole; each of its faults is named by file, line and key."""

import doctest
from pathlib import Path

import pytest

from shared.submissions import catalogue_files
from shared.submissions.catalogue import Catalogue, catalogue, checked, load, read
from shared.submissions.catalogue_files import CatalogueError, joined, line_of, parsed
from tests.catalogues import whole

LOCAL = """
[models.llama]
type = "chat.completion"
provider = "vllm"
upstream = "meta-llama/Llama-4"
purpose = "Ours"
input = 1_000
output = 2_000
max_output = 8_192
"""
WHOLE = whole(version="mine")


def own(text: str) -> Catalogue:
    return checked(joined(parsed("mine.toml", text)))


def faults(text: str) -> list[str]:
    with pytest.raises(CatalogueError) as error:
        own(text)
    return list(error.value.faults)


def test_the_docstring_s_example_holds() -> None:
    results = doctest.testmod(catalogue_files)
    assert results.attempted and not results.failed


def test_a_file_adds_its_rows_to_those_that_ship() -> None:
    made = own(LOCAL)
    assert set(made.models) == {*catalogue().models, "llama"} and made.prices["llama"].input == 1_000
    assert {*made.queued} == {*catalogue().queued, "vllm"}, "a provider with a model has queues"
    assert made.version.startswith(f"{catalogue().version}+") and made.version == made.prices["gpt-4"].version
    assert own(LOCAL + "# other\n").version != made.version, "each price can be told from another by its version"
    assert own('version = "7"\n' + LOCAL).version == f"{catalogue().version}+7"


def test_a_row_takes_the_place_of_a_whole_row() -> None:
    row = LOCAL.replace("models.llama", "models.gpt-4").replace('"vllm"', '"openai"')
    made = own(row).models["gpt-4"]
    assert (made.upstream, made.cached_input, made.omit) == ("meta-llama/Llama-4", None, [])
    moved = own('[providers.openai]\nprotocol = "openai"\nbase_url = "https://eu.example/v1"\nkey = "OPENAI_API_KEY"\n')
    assert moved.providers["openai"].base_url == "https://eu.example/v1" and "gpt-4" in moved.models


def test_rows_can_be_taken_out_and_wrong_names_are_guessed() -> None:
    made = own('remove = ["gpt-4", "deepinfra.deepseek-r1", "providers.deepinfra"]\n')
    assert "gpt-4" not in made.models and "deepinfra" not in made.providers
    gone = {"gpt-4", "deepinfra.deepseek-r1"}
    assert set(catalogue().models) - set(made.models) == gone | {"euqai-fusion-v1"}, "one of whose models is gone"
    assert faults('\nremove = ["gpt-44"]\n') == ["mine.toml:2: remove: no model 'gpt-44'; did you mean 'gpt-4'?"]
    assert faults('remove = ["providers.deepinfra"]\n') == [
        "deepinfra.toml:4: models.deepinfra.deepseek-r1.provider: provider 'deepinfra' is not defined"
    ]
    assert own('remove = ["gpt-4"]\n' + LOCAL.replace("llama", "gpt-4")).models["gpt-4"].provider == "vllm"


@pytest.mark.parametrize("text", [WHOLE, "replace = true\n" + WHOLE, "replace = true\n"])
def test_a_complete_file_of_an_earlier_release_stays_the_whole_catalogue(text: str) -> None:
    row = LOCAL.replace('"vllm"', '"p"') if "providers.p" in text else '[providers.vllm]\nprotocol = "openai"' + LOCAL
    given = text if "version" in text else text + 'version = "mine"\n'
    made = own(given + row)
    assert set(made.models) == {"llama"} and made.version == "mine"
    assert made.overheads.request == (1 if "overheads" in text else catalogue().overheads.request)


def test_overheads_alone_can_be_changed_by_a_file_that_says_that_it_adds() -> None:
    made = own("replace = false\n[overheads]\nrequest = 64\nmessage = 1\ntools = 1\ntool = 1\nimage = 1\n")
    assert made.overheads.request == 64 and "gpt-4" in made.models


def test_all_faults_are_named_at_once_each_with_its_line_and_key() -> None:
    text = LOCAL.replace("input = 1_000", "input = -1").replace('purpose = "Ours"', 'porpose = "Ours"')
    text += 'capabilities = ["visoin"]\nfallbacks = ["gpt-44"]\n[colours]\n[models."a.b"]\ntype = "chat"\n'
    assert faults(text) == [
        "mine.toml:12: colours: unknown key",
        "mine.toml:2: models.llama.purpose: is missing",
        "mine.toml:7: models.llama.input: input should be greater than or equal to 0",
        "mine.toml:10: models.llama.capabilities: input should be 'vision', 'tools', 'json_schema' or 'reasoning'"
        "; did you mean 'vision'?",
        "mine.toml:6: models.llama.porpose: unknown key; did you mean 'purpose'?",
        "mine.toml:14: models.a.b.type: input should be 'chat.completion', 'embedding' or 'image'",
        "mine.toml:13: models.a.b.provider: is missing",
        "mine.toml:13: models.a.b.upstream: is missing",
        "mine.toml:13: models.a.b.purpose: is missing",
    ]
    assert faults(LOCAL.replace("vllm", "vlm") + 'fallbacks = ["gpt-44"]\n') == [
        "mine.toml:4: models.llama.provider: provider 'vlm' is not defined; did you mean 'vllm'?",
        "mine.toml:10: models.llama.fallbacks: chat.completion model 'gpt-44' not found; did you mean 'gpt-4'?",
    ]
    assert faults(
        LOCAL + 'fallbacks = ["mistral-embed"]\n[providers.x]\nprotocol = "openai"\nbase_url = "host:1/v1"\n'
    ) == [
        "mine.toml:13: providers.x.base_url: must begin with http:// or https://",
        "mine.toml:10: models.llama.fallbacks: model 'mistral-embed' has type embedding, not chat.completion",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[models.m", "mine.toml:1: Expected ']' at the end of a table declaration"),
        ("a = 1\nb = \n", "mine.toml:2: Invalid value"),
        ('a = "', "mine.toml:1: Unterminated string"),
        ("models = 3\n", "mine.toml:1: models: must be a table"),
        ("models.m = 3\n", "mine.toml:1: models.m: must be a table"),
        ("remove = 3\n", "mine.toml:1: remove: must be a list of names"),
        ('replace = "yes"\n', "mine.toml:1: replace: must be true or false"),
        ("version = 3\n", "mine.toml:1: version: must be a string"),
    ],
)
def test_a_file_of_another_shape_is_one_sentence(text: str, said: str) -> None:
    assert said in faults(text)[0] if "replace" not in text else said in faults(text)


def test_the_line_of_a_key_is_found_in_tables_dotted_keys_and_inline_tables() -> None:
    text = 'x = 1\n[a."b.c"]  # y\nd.e = 2\n"f g" = { h = 1 }\n[[z]]\n'
    assert [line_of(text, path) for path in (("x",), ("a", "b.c"), ("a", "b.c", "d", "e"))] == [1, 2, 3]
    assert line_of(text, ("a", "b.c", "f g", "h")) == 4 and line_of(text, ("a", "b.c", "q")) == 2
    assert line_of(text, ("q",)) == 0 and line_of(text, ("a", "b.c", "q"), exact=True) == 0


def test_a_file_that_cannot_be_used_ends_the_start_with_every_fault(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[models.m]\ntype = 1\n")
    with pytest.raises(SystemExit) as ended:
        load(str(path))
    assert str(ended.value).startswith(f"cannot load the catalogue {path}: \n  {path}:2: models.m.type: ")
    path.write_bytes(b"\xff")
    with pytest.raises(SystemExit, match="UTF-8"):
        load(str(path))


def test_every_model_that_ships_has_a_context_and_chat_models_say_what_they_can() -> None:
    for id, model in catalogue().models.items():
        assert model.context or model.type == "image", id
        assert (model.capabilities is not None) == (model.type == "chat.completion"), id
        assert model.max_output <= model.context or model.type != "chat.completion", id


def test_read_takes_a_text_in_place_of_a_file() -> None:
    assert "llama" in read(LOCAL).models
