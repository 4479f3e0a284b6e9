"""The clock of ingest's host is said to be wrong where the readings of most devices are ahead of it, and only there."""

from ingest.clock_check import ClockCheck


def test_two_devices_whose_clocks_are_ahead_say_nothing_of_the_host_beside_others_that_send_each_minute() -> None:
    check = ClockCheck()
    for second in range(180):
        check.take([f"bed-{bed}" for bed in range(2, 10) if second % 60 == 6 * bed], second)
        if second > 60 and second % 60 == 50:
            check.reject("bed-0", second)
            check.reject("bed-1", second)
        assert check.find_problem(second) == ""


def test_most_devices_ahead_are_found_at_their_next_readings_and_the_end_of_it_too() -> None:
    check = ClockCheck()
    devices = [f"bed-{bed}" for bed in range(100)]
    check.take(devices, 0)
    for device in devices[:50]:
        check.reject(device, 1)
    assert check.find_problem(1) == ""
    check.reject(devices[50], 1)
    assert check.find_problem(1).startswith("readings of 51 devices, of 100 that send,")
    check.take(devices[:1], 2)
    assert check.find_problem(2) == ""
