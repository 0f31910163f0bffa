"""ansible-runner's events as records: what failed in its author's words, and what is no failure."""

from __future__ import annotations

from typing import Any

from wgm.record import Record, distil, message

BEGAN = 1795426192.0


def event(name: str, res: dict[str, Any] | None = None, **others: Any) -> dict[str, Any]:
    data = {
        "play": "Check",
        "task": "Look",
        "host": "h",
        "task_action": "ansible.builtin.command",
        "res": res,
        **others,
    }
    return {"event": name, "created": "2026-11-23T09:29:55.500000+00:00", "stdout": "", "event_data": data}


def only(found: dict[str, Any]) -> Record:
    (record,) = distil(found, BEGAN)
    return record


def test_a_result_tells_when_and_where() -> None:
    assert only(event("runner_on_ok", {"changed": True}, role="client")) == Record(
        3.5, "changed", "Check", "client: Look", "h"
    )


def test_what_the_playbook_ignores_is_no_failure() -> None:
    assert only(event("runner_on_failed", {"msg": "no"}, ignore_errors=True)).kind == "ok"


def test_the_words_of_an_assertion_are_kept_as_they_are() -> None:
    words = "'a' is no address: write 192.0.2.10 or [2001:db8::10], not 50 %.\nSecond line with  two spaces."
    assert only(event("runner_on_failed", {"msg": words, "assertion": "x == []"})).text == words


def test_a_failed_command_is_told_with_what_it_printed() -> None:
    result = {"msg": "non-zero return code", "rc": 2, "stderr": "E: no such package\n", "stdout": "Reading"}
    assert message(result) == "non-zero return code\nE: no such package"


def test_a_failed_loop_is_told_by_its_failed_items_alone_each_words_once() -> None:
    items: list[dict[str, Any]] = [
        {"msg": "fine"},
        {"failed": True, "msg": "b is bad"},
        {"failed": True, "msg": "b is bad"},
    ]
    assert message({"msg": "One or more items failed", "results": items}) == "b is bad"


def test_sentences_in_a_list_are_lines() -> None:
    assert message({"msg": ["one", "two"]}) == "one\ntwo"


def test_what_is_hidden_stays_hidden() -> None:
    assert message({"censored": "the output has been hidden", "msg": "the key"}) == "the output has been hidden"


def test_a_failure_without_words_still_says_something() -> None:
    assert message({"failed": True}) != ""


def test_what_debug_says_is_told_and_facts_are_not() -> None:
    told = distil(
        event("runner_on_ok", {"msg": ["two proxies", "share a /24"]}, task_action="ansible.builtin.debug"), BEGAN
    )
    assert [(each.kind, each.text) for each in told] == [("ok", ""), ("told", "two proxies\nshare a /24")]
    assert [
        each.text for each in distil(event("runner_on_ok", {"ansible_facts": {"env": "TOKEN"}, "msg": "x"}), BEGAN)
    ] == [""]


def test_a_warning_comes_without_colours_and_carriage_returns() -> None:
    found = {
        "event": "warning",
        "created": "2026-11-23T09:29:52+00:00",
        "stdout": "\x1b[1;35m[WARNING]: old\x1b[0m\r\n",
    }
    assert only(found) == Record(0.0, "warning", text="[WARNING]: old")


def test_the_end_tells_each_hosts_outcome() -> None:
    stats = {"processed": {"a": 1, "b": 1, "c": 1}, "dark": {"b": 1}, "failures": {"c": 1}}
    found = {"event": "playbook_on_stats", "created": "2026-11-23T09:29:52+00:00", "event_data": stats}
    outcomes = {record.host: record.text for record in distil(found, BEGAN) if record.kind == "outcome"}
    assert outcomes == {"a": "ok", "b": "unreachable", "c": "failed"}
