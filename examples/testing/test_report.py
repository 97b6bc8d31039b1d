"""Tests of report.py: against a real agent, and against faults on the way to it."""

import asyncio

import pytest
from report import main, report
from synapse_agent_sdk.exceptions import ClientConnectionError, GpuUnavailableError
from synapse_agent_sdk.testing.faults import disconnect, gpu_unavailable, lost_answer, status


@pytest.fixture
def text(tmp_path):
    file = tmp_path / "text"
    file.write_text("one two two", encoding="utf-8")
    return file


def test_words_are_counted(agent_client, text):
    assert report(agent_client, [text]).words == {"text": 3}


def test_a_file_that_is_not_there_fails_alone(agent_client, text, tmp_path):
    found = report(agent_client, [tmp_path / "nothing", text])
    assert (found.failed, found.words) == (["nothing"], {"text": 3})


def test_a_busy_agent_is_waited_for(agent_client, agent_faults, agent_calls, text):
    agent_faults.next(status(503), disconnect())
    assert report(agent_client, [text]).words == {"text": 3}
    assert agent_calls.operations == ["create_plugin_release"] * 3 + ["run_plugin_release"]


def test_a_run_whose_answer_is_lost_is_not_repeated(agent_client, agent_faults, agent_calls, text):
    agent_faults.next(lost_answer(), operation="run_plugin_release")
    assert report(agent_client, [text]).unknown == ["text"]
    (run,) = agent_calls.of("run_plugin_release")
    assert run.json["params"]["path"] == str(text)


def test_without_a_gpu_the_report_ends(agent_client, agent_faults, text):
    agent_faults.next(gpu_unavailable(), operation="run_plugin_release")
    with pytest.raises(GpuUnavailableError):
        report(agent_client, [text])


def test_without_an_agent_there_is_no_report(agent_client, agent_faults, text):
    with agent_faults.down(), pytest.raises(ClientConnectionError):
        report(agent_client, [text])


@pytest.mark.usefixtures("agent_environment")
def test_the_program_prints_words_and_question_marks(text, tmp_path, capsys):
    main([str(text), str(tmp_path / "nothing")])
    assert capsys.readouterr().out == "text 3\nnothing ?\n"


def test_two_reports_at_once(async_agent_client):
    async def names():
        releases = [async_agent_client.create_plugin_release(name, "1.0.0") for name in ("text_stats", "csv_summary")]
        return [release["plugin"] for release in await asyncio.gather(*releases)]

    assert asyncio.run(names()) == ["text_stats", "csv_summary"]
