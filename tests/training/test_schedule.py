from galr.training.schedule import step_schedule


def test_decays_one_epoch_early_as_the_released_code_does():
    rate = 1.0
    for epoch in range(50):  # the released rule, step by step
        if epoch % 20 == 19:
            rate *= 0.7
        assert abs(step_schedule(epoch, 1.0, 20, 0.7) - rate) < 1e-12
    assert step_schedule(18, 1.0, 20, 0.7) == 1.0
    assert step_schedule(19, 1.0, 20, 0.7) == 0.7
