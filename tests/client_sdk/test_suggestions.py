from client_sdk.suggestions import did_you_mean, nearest


def test_the_nearest_name_comes_first():
    assert nearest("promt", ["llm", "prompt", "prompts"]) == ("prompt", "prompts")


def test_an_error_message_ends_with_the_question():
    assert did_you_mean("promt", ["llm", "prompt"]) == "; did you mean prompt?"


def test_nothing_is_said_when_nothing_is_near():
    assert did_you_mean("zzz", ["llm"]) == ""
