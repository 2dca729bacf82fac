"""The seam: images in, segmentations out, whatever runs the network."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from drivable.errors import DataError
from drivable.labels import LabelSet
from drivable.segmenter.batched import check_image, segment_by_size
from drivable.segmenter.inputs import ImageLike, is_tensor, take_image
from drivable.segmenter.protocol import Image, LabelMap, Origin, Probabilities, SegmenterInfo
from drivable.segmenter.segmentation import Segmentation

_ONE = (str, bytes, os.PathLike, Pillow.Image)


class Segmenter(ABC):
    """A model ready for use. Prediction, evaluation and video are written against this.

    A runtime implements the abstract members: for a batch of images of one size, the ids or the probabilities. Images
    are read, checked and batched here, so every runtime takes the same. Several threads may call one segmenter.

    Example:
        >>> segmenter = load()
        >>> segmenter("road.jpg").share("direct")
        0.17
    """

    @property
    @abstractmethod
    def labels(self) -> LabelSet:
        """The classes of its label maps."""

    @property
    @abstractmethod
    def origin(self) -> Origin:
        """Where it comes from."""

    @property
    @abstractmethod
    def info(self) -> SegmenterInfo:
        """How it computes: classes, working size, runtime, device, precision, calibration."""

    @abstractmethod
    def _ids(self, images: Image) -> NDArray[np.uint8]:
        """RGB (N, H, W, 3) uint8 -> ids (N, H, W) uint8; safe to call from several threads."""

    @abstractmethod
    def _class_probabilities(self, images: Image) -> Probabilities:
        """RGB (N, H, W, 3) uint8 -> (N, K, H, W) float32; safe to call from several threads.

        Raises:
            ConfigError: where it puts out ids only.
        """

    def __call__(self, image: ImageLike, *, probabilities: bool = False) -> Segmentation:
        """Segment one image.

        Args:
            image: a path of an image file, a NumPy array (H, W, 3), a PIL image, or a torch tensor (3, H, W) or
                (H, W, 3). Arrays and tensors hold RGB: uint8, or floating point in 0..1. An array that is uint8
                is not copied.
            probabilities: also give the probability of each class, which costs a softmax over all pixels. The label map
                is then the most probable class of these numbers.

        Returns:
            The segmentation, of the image's own size.

        Raises:
            DataError: where this is not an image, or the file is missing or broken.
            ConfigError: where probabilities are asked for and the model is an exported file that puts out ids only.

        Example:
            >>> load()("road.jpg").save("label_map.png")
        """
        return self._segmentations([take_image(image)], probabilities)[0]

    def batch(self, images: Iterable[ImageLike], *, probabilities: bool = False) -> list[Segmentation]:
        """Segment several images; those of one size in one pass of the network.

        Args:
            images: each as :meth:`__call__` takes it.
            probabilities: see :meth:`__call__`.

        Returns:
            A segmentation for each image, in their order.

        Raises:
            DataError: where one is not an image, or a file is missing or broken; names its index.
            ConfigError: where probabilities are asked for and the model is an exported file that puts out ids only.

        Example:
            >>> [result.share("direct") for result in load().batch(["a.jpg", "b.jpg"])]
            [0.17, 0.19]
        """
        is_array = isinstance(images, np.ndarray) or is_tensor(images)
        is_one = len(getattr(images, "shape", ())) != 4 if is_array else isinstance(images, _ONE)
        if is_one:
            raise DataError("batch takes several images, got one; call segmenter(image), or pass [image]")
        taken = [take_image(image, f"image {index} of the batch") for index, image in enumerate(images)]
        return self._segmentations(taken, probabilities)

    def segment(self, image: Image) -> LabelMap:
        """RGB (H, W, 3) uint8 of any size -> ids (H, W) uint8 of that size.

        Raises:
            DataError: where the array is not such an image.
        """
        return self.segment_batch([image])[0]

    def segment_batch(self, images: Sequence[Image]) -> list[LabelMap]:
        """Several images, of one size or of many; those of one size in one pass of the network.

        Raises:
            DataError: where an array is not an image.
        """
        return segment_by_size(images, self._ids)

    def probabilities(self, image: Image) -> Probabilities:
        """RGB (H, W, 3) uint8 -> (K, H, W) float32; over the classes each pixel sums to 1.

        Where the model was calibrated, at its temperature.

        Raises:
            ConfigError: where it puts out ids only.
            DataError: where the array is not such an image.
        """
        check_image(image)
        answer: Probabilities = self._class_probabilities(image[None])[0]
        return answer

    def _segmentations(self, taken: Sequence[tuple[Image, str | None]], probabilities: bool) -> list[Segmentation]:
        images = [image for image, _ in taken]
        if not probabilities:
            label_maps = segment_by_size(images, self._ids)
            return [
                Segmentation(image, label_map, self.labels, source=source)
                for (image, source), label_map in zip(taken, label_maps, strict=True)
            ]
        answers = segment_by_size(images, self._class_probabilities)
        return [
            Segmentation(image, self.labels.most_probable(answer), self.labels, answer, source)
            for (image, source), answer in zip(taken, answers, strict=True)
        ]
