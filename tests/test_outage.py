"""When a broker that is away is spoken of."""

from history_sink_worker.outage import SAY_AGAIN_SECONDS, Outage


def test_an_outage_is_told_of_at_its_begin_once_a_minute_and_at_its_end() -> None:
    outage = Outage()
    said = {at: seconds for at in range(0, 301, 1) if (seconds := outage.meet(float(at))) is not None}
    assert said == {at: at for at in range(0, 301, int(SAY_AGAIN_SECONDS))}
    assert outage.end(310) == 310
    assert outage.end(311) is None
    assert outage.meet(312) == 0  # the next one is a change again


def test_the_first_failure_is_tried_again_at_once_and_what_follows_after_a_pause() -> None:
    outage = Outage()
    assert outage.pause_seconds(100, 0.5) == 0
    outage.meet(100)
    assert outage.pause_seconds(100.2, 0.5) > 0.29
    assert outage.pause_seconds(100.6, 0.5) == 0
