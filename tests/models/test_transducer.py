"""The whole model: predictors step by step, shapes, batch independence."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from prune_bench.models.arch import ConformerArch, TransducerArch, block_weights
from prune_bench.models.transducer import Transducer, make_predictor

ENCODER = ConformerArch.dense(mels=20, subsampling=4, width=32, heads=4, ffn=48, kernel=5, layers=2)
ARCHS = {
    "stateless": TransducerArch(ENCODER, 30, "stateless", 16, 1, 24),
    "lstm": TransducerArch(ENCODER, 30, "lstm", 16, 2, 24),
}


@pytest.mark.parametrize("kind", ARCHS)
def test_predictor_steps_equal_its_forward(kind):
    torch.manual_seed(0)
    predictor = make_predictor(ARCHS[kind])
    tokens = torch.randint(1, 30, (3, 6))
    whole = predictor(tokens)
    assert whole.shape == (3, 7, 16)
    state = predictor.initial_state(3, whole)
    steps = []
    for token in torch.cat((torch.zeros(3, 1, dtype=torch.long), tokens), 1).T:
        output, state = predictor.step(token, state)
        assert all(len(part) == 3 for part in state)
        steps.append(output)
    torch.testing.assert_close(torch.stack(steps, 1), whole, atol=1e-6, rtol=1e-5)


def test_stateless_predictor_sees_two_tokens():
    torch.manual_seed(0)
    predictor = make_predictor(ARCHS["stateless"])
    first, second = predictor(torch.tensor([[5, 6, 7]])), predictor(torch.tensor([[9, 6, 7]]))
    torch.testing.assert_close(first[:, 3], second[:, 3])
    assert (first[:, 2] - second[:, 2]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ARCHS)
def test_shapes_and_batch_independence(kind):
    torch.manual_seed(0)
    model = Transducer(ARCHS[kind]).eval()
    features, lengths, targets = torch.randn(3, 50, 20), torch.tensor([50, 29, 8]), torch.randint(1, 30, (3, 4))
    output = model(features, lengths, targets)
    assert output.joint.shape == (3, 13, 5, 30)
    assert output.ctc.shape == (3, 13, 30)
    assert output.lengths.tolist() == [13, 8, 2]
    for i, frames in enumerate(output.lengths):
        alone = model(features[i : i + 1, : lengths[i]], None, targets[i : i + 1])
        torch.testing.assert_close(output.joint[i, :frames], alone.joint[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(output.ctc[i, :frames], alone.ctc[0], atol=1e-5, rtol=1e-5)


def test_hidden_histories_leave_the_joiner_to_the_speech():
    torch.manual_seed(0)
    model = Transducer(ARCHS["stateless"], predictor_dropout=1.0)
    features, targets = torch.randn(2, 50, 20), torch.randint(1, 30, (2, 4))
    joint = model.train()(features, None, targets).joint
    torch.testing.assert_close(joint, joint[:, :, :1].expand_as(joint))
    joint = model.eval()(features, None, targets).joint
    assert (joint[:, :, 3] - joint[:, :, 0]).abs().max() > 1e-2


def test_unknown_predictor_is_refused():
    with pytest.raises(ValueError, match="choose stateless or lstm"):
        make_predictor(replace(ARCHS["lstm"], predictor="gru"))


def test_block_matrices_are_named_from_the_model():
    model = Transducer(ARCHS["lstm"])
    parameters = dict(model.named_parameters())
    assert sum(parameters[name].numel() for name in model.block_matrices()) == block_weights(model.arch)
