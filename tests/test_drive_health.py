"""Laws of what the diagnostics tell."""

import pytest

from drivevlm.drive.health import Health, Level

SECOND_US = 1_000_000


def health() -> Health:
    return Health(
        "drivevlm",
        needed=("CAM_FRONT", "odometry"),
        optional=("CAM_BACK",),
        silent_s=0.4,
        max_plan_age_s=1.0,
    )


def all_well(now_us: int = SECOND_US) -> Health:
    told = health()
    told.report(now_us - 100_000)
    for source in ("CAM_FRONT", "CAM_BACK", "odometry"):
        told.arrived(source, now_us)
    told.planned(now_us)
    return told


def test_all_is_well_where_all_speak_and_a_plan_is_young():
    report = all_well().report(SECOND_US + 300_000)
    assert (report.level, report.message) == (Level.OK, "ok")
    assert report.name == "drivevlm: inference_status"


@pytest.mark.parametrize(
    ("source", "level"),
    [("CAM_FRONT", Level.ERROR), ("odometry", Level.ERROR), ("CAM_BACK", Level.WARN)],
)
def test_a_silent_source_is_told_within_half_a_second_by_its_name(source, level):
    told = all_well()
    for name in {"CAM_FRONT", "CAM_BACK", "odometry"} - {source}:
        told.arrived(name, SECOND_US + 450_000)
    report = told.report(SECOND_US + 500_000)
    assert report.level is level
    assert report.message == f"{source} is silent for 0.50 s"


def test_a_source_that_never_spoke_is_silent_since_the_start():
    told = health()
    assert told.report(SECOND_US).level is Level.OK
    report = told.report(SECOND_US + 500_000)
    assert report.level is Level.ERROR
    assert "CAM_FRONT is silent for 0.50 s" in report.message
    assert "no plan yet" in told.report(SECOND_US + 1_100_000).message


def test_where_time_comes_over_a_topic_nobody_is_silent_before_it_came():
    told, began_us = health(), 1_800_000_000 * SECOND_US
    for now_us in (0, 0, began_us):
        assert told.report(now_us).level is Level.OK
    assert "CAM_FRONT is silent for 0.50 s" in told.report(began_us + 500_000).message


def test_a_source_nobody_asked_for_is_missed_once_it_spoke():
    told = all_well()
    told.arrived("objects", SECOND_US - 300_000)
    report = told.report(SECOND_US + 200_000)
    assert (report.level, report.message) == (Level.WARN, "objects is silent for 0.50 s")


def test_trouble_is_told_until_a_plan_is_published():
    told = all_well()
    told.troubled("the gate held the plan back: age 1.2, limit 1")
    told.fell_back("stop")
    report = told.report(SECOND_US)
    assert report.level is Level.WARN
    assert "age 1.2" in report.message
    assert "'stop' is published in place of a plan" in report.message
    told.planned(SECOND_US + 10)
    assert told.report(SECOND_US + 10).level is Level.OK
    assert told.counts() == {"published": 2, "fallback_stop": 1}


def test_an_old_plan_is_an_error_with_its_age():
    told = all_well()
    for name in ("CAM_FRONT", "CAM_BACK", "odometry"):
        told.arrived(name, SECOND_US * 3)
    report = told.report(SECOND_US * 3)
    assert (report.level, report.message) == (Level.ERROR, "no plan for 2.00 s")
    assert report.values["plan age_s"] == "2.000"


def test_a_fault_is_an_error_until_it_is_taken_back():
    told = all_well()
    told.broken("no model at /models/x")
    assert told.report(SECOND_US).message == "no model at /models/x"
    told.broken(None)
    assert told.report(SECOND_US).level is Level.OK


def test_rates_latencies_counts_and_memory_are_numbers_in_words():
    told = health()
    for k in range(31):
        told.arrived("CAM_FRONT", k * 100_000)
    for ms in range(1, 101):
        told.took({"decode": float(ms)})
    told.count("dropped_busy")
    values = told.report(3 * SECOND_US).values
    assert values["CAM_FRONT rate_hz"] == "10.5"  # 21 images within the last two seconds
    assert values["odometry rate_hz"] == "0.0"
    assert (values["decode p50_ms"], values["decode p95_ms"]) == ("50.5", "95.0")
    assert values["dropped_busy"] == "1"
    assert float(values["memory_mb"]) > 1


def test_a_restart_forgets_silence_and_the_plan():
    told = all_well()
    told.restarted(9 * SECOND_US)
    assert told.report(9 * SECOND_US + 100_000).level is Level.OK
    assert told.report(9 * SECOND_US + 500_000).level is Level.ERROR
