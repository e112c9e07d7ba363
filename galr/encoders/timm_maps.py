"""Any network of the optional package timm that gives maps of four levels: ``timm:NAME``."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from galr.common.errors import UserError
from galr.common.packages import require
from galr.encoders.renormalise import Renormalise
from galr.encoders.trunk import LEVELS, Trunk

PREFIX = "timm:"


class TimmBackbone(Trunk):
    """The network ``name`` of timm under its parameter names, with its four last maps.

    A network whose maps all have one stride, as a ViT's, gives four of them, evenly spaced and
    normalised. Images are normalised as timm's description of the network says.
    """

    may_leave_weights_unused = True

    def __init__(self, name: str, side: int, head: bool = False, pretrained: bool = False) -> None:
        """``side`` S of images. ``head``: the last map is what the network's classifier pools.

        ``pretrained``: with timm's weights, which are downloaded once. Raises UserError without the
        package, for a name that it does not have, and for a network without such maps.
        """
        super().__init__()
        self.name, self.head = name, head
        self.model = _model(name, side, pretrained)
        config = self.model.pretrained_cfg
        classifier = config.get("classifier") or ()
        self.heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
        self.renormalise = Renormalise(config["mean"], config["std"])
        info = list(self.model.feature_info)
        self.same_stride = len({each["reduction"] for each in info}) == 1
        step = len(info) // LEVELS if self.same_stride else 1
        self.indices = [len(info) - 1 - step * back for back in reversed(range(LEVELS))]
        if self.indices[0] < 0:
            raise UserError(_place(name), f"has {len(info)} maps, not {LEVELS}", "name another")
        self.stages = tuple(info[index]["module"] for index in self.indices)
        self.channels, self.strides = self._measured(side)

    @property
    def net(self) -> nn.Module:
        """The module under whose names timm keeps weights."""
        model: nn.Module = self.model
        return model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """image (B, 3, S, S) -> maps (B, channels[i], S / strides[i], S / strides[i])."""
        last, maps = self.model.forward_intermediates(
            self.renormalise(image), indices=self.indices, norm=self.same_stride, output_fmt="NCHW"
        )
        if self.head and last.dim() == 4 and last.shape[2:] == maps[-1].shape[2:]:
            maps[-1] = last
        return tuple(maps)

    def _measured(self, side: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Channels and strides of the maps of an image of ``side``."""
        remedy = "set dataset.image_size to a size that it takes, or name another"
        maps = self.maps_of_zeros(side, _place(self.name), remedy)
        sides = [each.shape[2] for each in maps]
        if any(each.shape[2] != each.shape[3] or side % each.shape[2] for each in maps):
            raise UserError(
                _place(self.name),
                f"its maps of images of {side} pixels have sides of {sides}, no divisors of {side}",
                "set dataset.image_size to a multiple of its strides, or name another",
            )
        return tuple(each.shape[1] for each in maps), tuple(side // each for each in sides)


def _place(name: str) -> str:
    return f"model.backbone.name: {PREFIX}{name}"


def _model(name: str, side: int, pretrained: bool) -> Any:  # noqa: ANN401 - of a network of timm
    require("timm", _place(name), "pip install timm, or name a network of torchvision")
    import timm

    if not timm.is_model(name.partition(".")[0]):
        near = timm.list_models(f"*{name.partition('_')[0]}*")[:3]
        raise UserError(
            _place(name), "timm has no such network", f"name another, such as {', '.join(near)}"
        )
    config = timm.get_pretrained_cfg(name.partition(".")[0])
    # what makes a network of one size take others, in the names that networks have for it
    ways: list[dict[str, Any]] = [{}]
    if config is not None and config.fixed_input_size:
        ways = [{"dynamic_img_size": True}, {"strict_img_size": False}, {"img_size": side}, {}]
    for way in ways:
        try:
            return timm.create_model(name, pretrained=pretrained, num_classes=0, **way)
        except TypeError:  # it has no such argument
            continue
        except Exception as error:  # noqa: BLE001 - no network, no such tag, a damaged file
            line = str(error).strip().partition("\n")[0]
            raise UserError(
                _place(name),
                f"timm could not create it{' with its weights' if pretrained else ''} ({line})",
                "connect to the internet once, or set model.backbone.weights=FILE (a local file) "
                "or, for random weights, model.backbone.weights=null",
            ) from None
    raise AssertionError("create_model without arguments of a network raises no TypeError")
