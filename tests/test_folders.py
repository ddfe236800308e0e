import cv2
import numpy as np
import pytest
import torch

from saccade.data import load
from saccade.folders import read_folders


def write(path, image):
    """Writes an image given as RGB or grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.asarray(image, np.uint8)
    done, content = cv2.imencode(path.suffix, image if image.ndim == 2 else image[..., ::-1])
    assert done
    path.write_bytes(content.tobytes())


def grey(value, height=4, width=4):
    return np.full((height, width), value, np.uint8)


def classes(root, count=3, names=("cat", "dog"), first=0):
    for label, name in enumerate(names):
        for i in range(count):
            write(root / name / f"{i}.png", grey(first + 50 * label + i))
    return root


def test_classes_are_sorted_folders_and_images_sorted_files(tmp_path):
    classes(tmp_path, names=("dog", "cat"))
    whole = read_folders(tmp_path, 512)["train"]
    assert whole.classes == ("cat", "dog")
    assert whole.images.shape == (6, 1, 4, 4)
    assert whole.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert whole.images[:, 0, 0, 0].tolist() == [50, 51, 52, 0, 1, 2]


def test_any_suffix_in_any_case_and_only_images(tmp_path):
    classes(tmp_path, count=1)
    for suffix in (".JPG", ".jpeg", ".bmp", ".WebP", ".tif", ".TIFF", ".pgm"):
        write(tmp_path / "cat" / f"an image{suffix}", grey(200, 16, 16))
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "cat" / "._0.png").write_text("nor is this")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "README.md").write_text("nor is this a class")
    whole = read_folders(tmp_path, 512)["train"]
    assert whole.labels.tolist() == [0] * 8 + [1]
    centers = whole.images[:, 0, 8, 8]
    assert (centers == 200).sum() == 7
    assert whole.images.shape[1] == 1


def test_smaller_images_are_centered_on_black(tmp_path):
    write(tmp_path / "a" / "1.png", grey(255, 2, 7))
    write(tmp_path / "b" / "1.png", grey(90, 5, 3))
    images = read_folders(tmp_path, 512)["train"].images
    assert images.shape == (2, 1, 5, 7)
    wide, high = images[:, 0]
    assert wide[:, 0].tolist() == [0, 255, 255, 0, 0]
    assert (wide.sum(), high.sum()) == (14 * 255, 15 * 90)
    assert high[0].tolist() == [0, 0, 90, 90, 90, 0, 0]


def test_one_colored_image_makes_all_rgb(tmp_path):
    write(tmp_path / "a" / "1.png", grey(7))
    write(tmp_path / "b" / "1.png", np.broadcast_to((255, 128, 0), (4, 4, 3)))
    images = read_folders(tmp_path, 512)["train"].images
    assert images[0, :, 0, 0].tolist() == [7, 7, 7]
    assert images[1, :, 0, 0].tolist() == [255, 128, 0]


def test_grey_stored_as_rgb_is_grey(tmp_path):
    write(tmp_path / "a" / "1.png", np.broadcast_to((9, 9, 9), (4, 4, 3)))
    write(tmp_path / "b" / "1.jpg", np.broadcast_to((80, 80, 80), (8, 8, 3)))
    images = read_folders(tmp_path, 512)["train"].images
    assert images.shape == (2, 1, 8, 8)
    assert images[0, 0, 4, 4] == 9


def test_large_images_are_scaled_down_by_area_first(tmp_path):
    checks = np.kron(np.array([[0, 100], [200, 40]]), np.ones((4, 4))).astype(np.uint8)
    fine = 40 * (np.indices((8, 16)).sum(0) % 2)  # adds 20 to each mean
    write(tmp_path / "a" / "1.png", np.tile(checks, (1, 2)) + fine)  # 8 x 16
    write(tmp_path / "b" / "1.png", grey(5, 4, 4))
    images = read_folders(tmp_path, 4)["train"].images
    assert images.shape == (2, 1, 4, 4)
    assert images[0, 0].tolist() == [[0] * 4, [20, 120] * 2, [220, 60] * 2, [0] * 4]
    assert (images[1] == 5).all()


def test_a_very_long_image_keeps_a_pixel(tmp_path):
    write(tmp_path / "a" / "1.png", grey(9, 1, 100))
    write(tmp_path / "b" / "1.png", grey(9, 2, 2))
    assert read_folders(tmp_path, 10)["train"].images.shape == (2, 1, 2, 10)


def test_a_folder_without_parts_is_split(tmp_path):
    splits = load(str(classes(tmp_path / "pets", count=10)))
    assert splits.name == "pets"
    assert [torch.bincount(p.labels).tolist() for p in splits[:3]] == [[8, 8], [1, 1], [1, 1]]
    together = torch.cat([p.images[:, 0, 0, 0] for p in splits[:3]]).sort().values.tolist()
    assert together == [*range(10), *range(50, 60)]


@pytest.mark.parametrize("name", ["val", "validation"])
def test_parts_are_taken_as_they_are(tmp_path, name):
    classes(tmp_path / "train", count=1)
    classes(tmp_path / name, count=1, first=100)
    classes(tmp_path / "test", count=1, first=200)
    splits = load(str(tmp_path))
    got = [part.images[:, 0, 0, 0].tolist() for part in splits[:3]]
    assert got == [[0, 50], [100, 150], [200, 250]]
    assert [part.labels.tolist() for part in splits[:3]] == [[0, 1]] * 3


def test_missing_parts_come_from_train(tmp_path):
    classes(tmp_path / "train", count=20)
    classes(tmp_path / "test", count=1, first=200)
    splits = load(str(tmp_path))
    assert [len(part) for part in splits[:3]] == [36, 4, 2]
    assert (splits.test.images[:, 0, 0, 0] >= 200).all()
    (tmp_path / "test").rename(tmp_path / "val")
    splits = load(str(tmp_path))
    assert [len(part) for part in splits[:3]] == [36, 2, 4]
    assert (splits.validation.images[:, 0, 0, 0] >= 200).all()


def test_a_class_may_be_called_train(tmp_path):
    classes(tmp_path, names=("train", "plane"))
    assert load(str(tmp_path)).train.classes == ("plane", "train")


def test_parts_share_one_size_and_one_number_of_channels(tmp_path):
    classes(tmp_path / "train", count=2)
    classes(tmp_path / "test", count=1)
    write(tmp_path / "test" / "dog" / "large.png", np.broadcast_to((1, 2, 3), (6, 9, 3)))
    splits = load(str(tmp_path))
    assert {tuple(part.images.shape[1:]) for part in splits[:3]} == {(3, 6, 9)}


def test_an_unreadable_image_is_named(tmp_path, capfd):
    classes(tmp_path)
    whole = (tmp_path / "cat" / "1.png").read_bytes()
    for content in (b"", b"not an image at all", whole[:40]):
        (tmp_path / "cat" / "1.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"cat.1\.png cannot be read as an image"):
            load(str(tmp_path))


def test_errors_name_the_folder(tmp_path):
    classes(tmp_path / "one", names=("cat",))
    with pytest.raises(ValueError, match="one has 1 class folder; there must be 2"):
        load(str(tmp_path / "one"))

    (classes(tmp_path / "empty") / "bird").mkdir()
    with pytest.raises(ValueError, match=r"class folder .*bird has no images \(.*\.png"):
        load(str(tmp_path / "empty"))

    classes(tmp_path / "few", count=2)
    with pytest.raises(ValueError, match="few: class cat has 2 images"):
        load(str(tmp_path / "few"))

    classes(tmp_path / "more" / "train")
    classes(tmp_path / "more" / "test", names=("cat", "cow"))
    with pytest.raises(ValueError, match=r"cow is a class that .*train does not have"):
        load(str(tmp_path / "more"))

    classes(tmp_path / "odd" / "train")
    classes(tmp_path / "odd" / "dev")
    with pytest.raises(ValueError, match="dev is beside train, but is not val"):
        load(str(tmp_path / "odd"))

    for name in ("train", "val", "validation"):
        classes(tmp_path / "twice" / name)
    with pytest.raises(ValueError, match="has val and validation"):
        load(str(tmp_path / "twice"))
