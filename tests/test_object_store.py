"""Mosaics from and in object stores: an S3 server on loopback, and a way to it that fails."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from faults import environment
from gcs import gcs_server
from s3 import BUCKET, SECRET, Way, s3_server
from surveys import Survey, make_survey, write_image

import dmontage as dm
from dmontage.errors import ChangedError, InputError, UnreachableError
from dmontage.fits_files import read, scan
from dmontage.graph.drive import Call, run
from dmontage.pipeline import saving
from dmontage.places import Url, buckets, place
from dmontage.store import InUseError, Store, lease
from dmontage.store.objects import Objects
from dmontage.store.rows import write_rows
from dmontage.window import Window

RAW, STORE, OUT = (f"s3://{BUCKET}/{key}" for key in ("raw", "run.zarr", "out/m.fits"))


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return make_survey(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def expected(survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the mosaic that is made on this machine's disk."""
    path = tmp_path_factory.mktemp("expected") / "m.fits"
    dm.mosaic(survey.folder, survey.grid).write(path)
    return str(fits.getheader(path)["DATAHASH"])


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch, survey: Survey) -> Iterator[Way]:
    """The way to a bucket that has the survey in raw/."""
    with s3_server() as made:
        for key, value in made.environment.items():
            monkeypatch.setenv(key, value)
        monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
        buckets.forget()
        for path in survey.paths:
            place(f"{RAW}/{path.name}").write_bytes(path.read_bytes())
        made.requests.clear()
        yield made
    buckets.forget()


def url(text: str) -> Url:
    there = place(text)
    assert isinstance(there, Url)
    return there


def digest(text: str, tmp_path: Path) -> str:
    """Of a product in the bucket."""
    copy = tmp_path / "copy.fits"
    copy.write_bytes(url(text).read_bytes())
    told, found = dm.fits_files.product_digests(copy)
    assert told == found
    return told


def command(*words: object, way: Way) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from dmontage.cli import main; main()", *map(str, words)],
        env=environment() | way.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_inputs_store_and_product_by_url(way: Way, survey: Survey, expected: str, tmp_path: Path) -> None:
    made = dm.mosaic(RAW, survey.grid, STORE).write(OUT)
    assert digest(OUT, tmp_path) == expected
    assert [there.name for there in url(OUT).parent.below()] == ["m.fits", "m_area.fits"]
    assert made.summary.reused == 0
    again = dm.mosaic(RAW, survey.grid, STORE)
    again.write(tmp_path / "m.fits")
    assert again.summary.reused == len(survey.paths) and again.summary.chunks_reused == again.summary.chunks
    assert str(fits.getheader(tmp_path / "m.fits")["DATAHASH"]) == expected
    told = str(dm.pipeline.kept.status(STORE))
    assert "project     6 of 6 rows" in told and "coadd       1 of 1 chunks" in told and "at work" not in told
    assert not dm.pipeline.kept.verify(STORE, 0).wrong
    assert not dm.pipeline.kept.verify(OUT).wrong
    again.close(remove=True)
    assert not url(STORE).exists()


def test_any_zarr_reads_it(way: Way, survey: Survey) -> None:
    """By the reader of zarr itself, over HTTP as anybody would."""
    import obstore.store
    import zarr

    made = dm.mosaic(RAW, survey.grid, STORE, background="none")
    made.stream(lambda window, layers: None)
    there = obstore.store.S3Store(BUCKET, prefix="run.zarr", client_options={"allow_http": True})
    group = zarr.open_group(zarr.storage.ObjectStore(there, read_only=True), mode="r")
    np.testing.assert_array_equal(np.asarray(group["mosaic/mean"]), made.compute().data)


def test_failures_on_the_way_change_nothing(
    way: Way, survey: Survey, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fifth of the answers are errors, come late, or break off; listings and conditional writes too."""
    monkeypatch.setattr(buckets, "OPTIONS", buckets.OPTIONS | {"timeout": "2s"})
    buckets.forget()
    dice = random.Random(1)
    kinds = [500, 503, "drop", "lost", "cut", 0.05]
    met: set[object] = set()
    slow = iter([2.5])

    def fault(method: str, path: str) -> object:
        if dice.random() > 0.2:
            return None
        met.add(what := next(slow, None) or dice.choice(kinds))
        return what

    way.fault = fault
    made = dm.mosaic(RAW, survey.grid, STORE).write(OUT)
    way.fault = lambda method, path: None
    assert digest(OUT, tmp_path) == expected
    assert met == {*kinds, 2.5} and not made.summary.skipped


@pytest.mark.parametrize("n", [3, pytest.param(12, marks=pytest.mark.slow), 30])
def test_a_run_killed_at_a_write_is_taken_up(way: Way, survey: Survey, expected: str, tmp_path: Path, n: int) -> None:
    """SIGKILL while the nth write is on its way: the same command again gives the same bits, at once."""
    (tmp_path / "grid.hdr").write_text(survey.grid.to_template())
    words = ("mosaic", RAW, "-o", OUT, "--workdir", STORE, "--header", tmp_path / "grid.hdr")
    first = command(*words, way=way)
    writes = 0

    def fault(method: str, path: str) -> object:
        nonlocal writes
        writes += method == "PUT"
        if method == "PUT" and writes == n:
            os.kill(first.pid, signal.SIGKILL)
            return "drop"
        return None

    way.fault = fault
    assert first.wait(60) == -signal.SIGKILL
    way.fault = lambda method, path: None
    way.requests.clear()
    out, err = command(*words, way=way).communicate(timeout=60)
    assert "wrote" in out, err
    looks = [path for method, path in way.requests if method == "GET" and path.endswith("driver.lock")]
    assert len(looks) <= 2, "the lock of a dead process was waited for"
    assert digest(OUT, tmp_path) == expected


def test_a_second_driver_is_refused_while_the_first_lives(
    way: Way, survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.2)
    dm.mosaic(RAW, survey.grid, STORE, background="none").stream(lambda window, layers: None)
    store = Store.open(STORE)
    with store.locked():
        assert Store.open(STORE).in_use
        with pytest.raises(InUseError, match=r"run\.zarr is in use by another run"):
            store.locked().__enter__()
    assert not store.in_use
    assert not url(f"{STORE}/driver.lock").exists()


def test_a_lock_whose_answers_are_lost_is_held(way: Way, survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write was done, and is not taken for another driver's when it is tried again."""
    monkeypatch.setattr(lease, "BEAT", 0.1)
    dm.mosaic(RAW, survey.grid, STORE, background="none").stream(lambda window, layers: None)
    answers = iter(["lost", "lost", None] * 3)
    way.fault = lambda method, path: next(answers, None) if method == "PUT" and "driver.lock" in path else None
    with Store.open(STORE).locked():
        time.sleep(2)
    assert next(answers, "all asked for") == "all asked for"
    assert not url(f"{STORE}/driver.lock").exists()


def test_a_lock_that_nobody_writes_to_is_taken(way: Way, survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another machine, which is no more: known by its silence, on the clock of who waits."""
    monkeypatch.setattr(lease, "BEAT", 0.2)
    dm.mosaic(RAW, survey.grid, STORE, background="none").stream(lambda window, layers: None)
    url(f"{STORE}/driver.lock").write_bytes(b'{"host": "elsewhere", "pid": 1, "beat": "x"}')
    begin = time.monotonic()
    with Store.open(STORE).locked():
        assert time.monotonic() - begin >= lease.PATIENCE * lease.BEAT


def test_two_drivers_lay_out_one_place(way: Way, survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is refused from the first object on, and takes nothing of the first's away."""
    monkeypatch.setattr(lease, "BEAT", 0.2)
    first = dm.mosaic(RAW, survey.grid, STORE, background="none")
    second = dm.mosaic(RAW, survey.grid, STORE, background="none", pixfrac=0.5)
    refused: list[str] = []

    def meanwhile(files: Any, generation: int, rows: Any) -> None:
        with pytest.raises(InUseError) as caught:
            second.compute()
        refused.append(str(caught.value))
        write_rows(files, generation, rows)

    monkeypatch.setattr("dmontage.store.run.write_rows", meanwhile)
    first.compute()
    assert len(refused) == 1 and "in use by another run" in refused[0]
    with pytest.raises(InputError, match="holds another run: another drop"):
        second.compute()


def test_a_removal_that_breaks_off_leaves_a_free_place(
    way: Way, survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but what tells that it is none is away first, whatever was."""
    monkeypatch.setattr(lease, "BEAT", 0.2)  # the lock of the removal that broke off is waited for
    monkeypatch.setattr(buckets, "TRIES", 1)
    monkeypatch.setattr(buckets, "RETRIES", buckets.RETRIES | {"max_retries": 0})
    buckets.forget()
    made = dm.mosaic(RAW, survey.grid, STORE, background="none")
    expected = made.compute().data
    deletions = iter([None])  # that of zarr.json
    way.fault = lambda method, path: next(deletions, 500) if method == "POST" and "delete" in path else None
    with pytest.raises(UnreachableError):
        Store.remove(STORE)
    way.fault = lambda method, path: None
    assert Store.is_free(STORE) and len(list(url(STORE).below())) > 10
    again = dm.mosaic(RAW, survey.grid, STORE, background="none", pixfrac=1.0)
    np.testing.assert_array_equal(again.compute().data, expected)
    Store.remove(STORE)
    assert not url(STORE).exists()


def test_a_stopped_driver_that_comes_back_does_no_more(
    way: Way, survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock was taken while it slept: known after the task that it was in, and the lock stays the other's."""
    monkeypatch.setattr(lease, "BEAT", 0.1)
    made = dm.mosaic(RAW, survey.grid, STORE, background="none", workers=1)
    seen: list[int] = []

    def progress(stage: str, done: int, total: int) -> None:
        if done:
            seen.append(done)
            url(f"{STORE}/driver.lock").write_bytes(b"{}")
            time.sleep(0.5)

    made._progress = progress
    with pytest.raises(InUseError, match="another run took the lock"):
        made.stream(lambda window, layers: None)
    assert seen == [1] and url(f"{STORE}/driver.lock").read_bytes() == b"{}"


def test_fits_of_a_driver_that_lost_its_lock_are_no_others(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run has its place meanwhile, in which rows of the same numbers are projected otherwise."""
    monkeypatch.setattr(lease, "BEAT", 0.1)
    there = place("memory://lost/run.zarr")
    assert isinstance(there, Url)
    other = dm.mosaic(survey.folder, survey.grid, str(there), border=5)
    add = saving.Saving.add
    asleep = iter([True])

    def sleep(self: Any, rows: Any) -> None:
        if next(asleep, False):
            there.remove(list(there.below()))
            other._project(range(len(other.plan.rows)))
            time.sleep(0.5)
        add(self, rows)

    monkeypatch.setattr(saving.Saving, "add", sleep)
    with pytest.raises(InUseError):
        dm.mosaic(survey.folder, survey.grid, str(there)).fit()
    assert len(Store.open(there).tables.fits()) == 0
    again = dm.mosaic(survey.folder, survey.grid, str(there), border=5).fit()
    assert again.summary.fits_reused == 0 and again.summary.reused == len(survey.paths)
    Store.remove(there)


def test_who_lost_its_lock_says_so(way: Way, survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.1)
    dm.mosaic(RAW, survey.grid, STORE, background="none").stream(lambda window, layers: None)
    with pytest.raises(InUseError, match="another run took the lock"), Store.open(STORE).locked():
        url(f"{STORE}/driver.lock").write_bytes(b"{}")
        time.sleep(0.5)
    assert url(f"{STORE}/driver.lock").read_bytes() == b"{}"  # it is the other's


def test_a_part_of_a_large_file_is_read_by_ranges(way: Way, tmp_path: Path) -> None:
    """A scan reads headers; a window its rows; an image of a file of several no other."""
    rng = np.random.default_rng(0)
    one = write_image(tmp_path / "one.fits", rng.normal(100, 1, (600, 700)).astype(np.float32))
    with fits.open(one) as hdus:
        header = hdus[0].header
        many = [fits.ImageHDU(rng.normal(k, 1, (600, 700)).astype(np.float32), header) for k in range(4)]
    fits.HDUList([fits.PrimaryHDU(), *many]).writeto(tmp_path / "many.fits")
    there = url(f"s3://{BUCKET}/large/many.fits")
    there.write_bytes((tmp_path / "many.fits").read_bytes())
    size = there.stat().st_size
    way.bytes_out = 0
    images = scan(str(there))
    assert len(images) == 4 and way.bytes_out < 0.1 * size
    way.bytes_out = 0
    row = read(images[2], Window(300, 301, 0, 700))
    np.testing.assert_array_equal(row, many[2].data[300:301].astype(np.float32))
    assert way.bytes_out < 0.1 * size
    way.bytes_out = 0
    np.testing.assert_array_equal(read(images[3]), many[3].data)
    assert way.bytes_out < 0.4 * size


def test_a_small_image_takes_one_request(way: Way) -> None:
    images = scan(RAW)
    assert len(way.requests) == 1 + len(images), "one listing, and one a file"
    way.requests.clear()
    for image in images:
        read(image)
    assert len(way.requests) == len(images)


@pytest.mark.parametrize("kind", ["x.fits.gz", "x.fits.fz"])
def test_compressed_images(way: Way, survey: Survey, tmp_path: Path, kind: str) -> None:
    with fits.open(survey.paths[0]) as hdus:
        data, header = hdus[0].data, hdus[0].header
    path = tmp_path / kind
    if kind.endswith(".fz"):
        fits.CompImageHDU(data, header, compression_type="GZIP_2", quantize_level=0).writeto(path)
    else:
        fits.PrimaryHDU(data, header).writeto(path)
    url(f"s3://{BUCKET}/packed/{kind}").write_bytes(path.read_bytes())
    (image,) = scan(f"s3://{BUCKET}/packed/")
    np.testing.assert_array_equal(read(image), data)


def test_companions_and_tables_by_url(way: Way, survey: Survey, tmp_path: Path) -> None:
    """A weight map beside each image, numbers from a table, and a template, all in the bucket."""
    for path in survey.paths:
        with fits.open(path) as hdus:
            hdus[0].data[:] = 0.5
            hdus.writeto(tmp_path / f"{path.stem}.weight.fits")
        url(f"{RAW}/{path.stem}.weight.fits").write_bytes((tmp_path / f"{path.stem}.weight.fits").read_bytes())
    lines = ["file,w", *(f"{path.name},{1 + k}" for k, path in enumerate(survey.paths))]
    url(f"s3://{BUCKET}/numbers.csv").write_bytes("\n".join(lines).encode())
    url(f"s3://{BUCKET}/grid.hdr").write_bytes(survey.grid.to_template().encode())
    grid = dm.Grid.from_header(f"s3://{BUCKET}/grid.hdr")
    assert grid == survey.grid
    images = scan([f"{RAW}/{path.name}" for path in survey.paths])
    plan = dm.plan(images, grid, weight_map=".weight.fits", image_weight=f"s3://{BUCKET}/numbers.csv:w")
    assert all(beside.weight is not None for beside in plan.companions)
    assert [beside.factor for beside in plan.companions] == [1, 2, 3, 4, 5, 6]


def test_the_command_line_writes_all_of_it_to_urls(way: Way, tmp_path: Path) -> None:
    """With the store beside the mosaic, which goes when all is done."""
    there = f"s3://{BUCKET}/out"
    words = ("mosaic", RAW, "-o", OUT, "--png", f"{there}/m.png", "--report", f"{there}/bg")
    done = command(*words, "--write-corrections", f"{there}/c.ecsv", way=way)
    out, err = done.communicate(timeout=60)
    assert done.returncode == 0, err
    names = ["bg.json", "bg.png", "bg.txt", "c.ecsv", "m.fits", "m.png", "m_area.fits"]
    assert [each.name for each in url(there).below()] == names
    assert f"wrote       {OUT}, s3://{BUCKET}/out/m_area.fits, {there}/bg.txt" in out
    assert url(f"{there}/m.png").read_bytes().startswith(b"\x89PNG")
    scanned = command("scan", RAW, way=way)
    assert "image05.fits" in scanned.communicate(timeout=60)[0]


def test_an_image_that_is_replaced_after_the_scan(way: Way, survey: Survey) -> None:
    images = scan(RAW)
    other = bytearray(survey.paths[0].read_bytes())
    other[-3000] ^= 1
    url(images[0].path).write_bytes(bytes(other))
    with pytest.raises(ChangedError, match="has changed since the scan"):
        dm.mosaic(images, survey.grid, background="none").compute()
    url(images[0].path).unlink()
    with pytest.raises(ChangedError, match="cannot be read any more: there is no such object"):
        dm.mosaic(images, survey.grid, background="none").compute()


def test_a_store_that_stays_away_leaves_no_image_out(
    way: Way, survey: Survey, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Down in the middle of the run: an error that says so, and no mosaic without the images that were not reached."""
    monkeypatch.setattr(buckets, "TRIES", 2)
    monkeypatch.setattr(buckets, "RETRIES", buckets.RETRIES | {"max_retries": 1})
    buckets.forget()
    made = dm.mosaic(RAW, survey.grid, tmp_path / "run.zarr")
    way.fault = lambda method, path: "drop" if "image03" in path else None
    with pytest.raises(UnreachableError, match=r"image03\.fits: cannot be reached, tried 2 times"):
        made.write(tmp_path / "m.fits")
    assert not (tmp_path / "m.fits").exists()
    with pytest.raises(UnreachableError, match="cannot be reached"):
        scan(RAW)
    way.fault = lambda method, path: None
    made.write(tmp_path / "m.fits")
    assert str(fits.getheader(tmp_path / "m.fits")["DATAHASH"]) == expected


def test_an_image_that_goes_between_head_and_pixels_is_not_left_out(way: Way, tmp_path: Path) -> None:
    """Of a file of several images the pixels are a request of their own."""
    rng = np.random.default_rng(0)
    one = write_image(tmp_path / "one.fits", rng.normal(100, 1, (300, 300)).astype(np.float32))
    with fits.open(one) as hdus:
        many = [fits.ImageHDU(hdus[0].data + k, hdus[0].header) for k in range(4)]
    fits.HDUList([fits.PrimaryHDU(), *many]).writeto(tmp_path / "many.fits")
    url(f"s3://{BUCKET}/many/x.fits").write_bytes((tmp_path / "many.fits").read_bytes())
    made = dm.mosaic(f"s3://{BUCKET}/many", background="none")
    answers = iter([None, 404])
    way.fault = lambda method, path: next(answers, None)
    with pytest.raises(ChangedError, match="cannot be read any more: there is no such object"):
        made.compute()


def test_a_download_that_takes_longer_than_a_request_may(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on where it broke off."""
    monkeypatch.setattr(buckets, "OPTIONS", buckets.OPTIONS | {"timeout": "1s"})
    buckets.forget()
    there, data = url(f"s3://{BUCKET}/large.bin"), os.urandom(600_000)
    there.write_bytes(data)
    way.fault = lambda method, path: "trickle"
    assert there.read_bytes() == data


def test_odd_keys(way: Way, survey: Survey) -> None:
    """Those that no URL names are left out, and say so; the others are as good as any."""
    for name in ("a b", "ü", "50%25", "x+y&z", "[1]", "~q"):
        url(f"s3://{BUCKET}/odd/{name}.fits").write_bytes(survey.paths[0].read_bytes())
    Url("s3", BUCKET, "odd/what?.fits").write_bytes(b"")
    images = scan(f"s3://{BUCKET}/odd/")
    assert len(images) == 6 and [str(item) for item in images.skipped] == [
        "what?.fits: its key has '?', '#' or an empty part: rename it"
    ]
    for image in images:
        read(image)


def test_no_error_has_the_stores_answer_for_its_cause(way: Way) -> None:
    """Which may have the whole request in it, the token of the session too."""
    way.fault = lambda method, path: f"<Error><CanonicalRequest>x-amz-security-token:{SECRET}</Error>".encode()
    with pytest.raises(UnreachableError, match="403 Forbidden") as caught:
        scan(RAW)
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told and SECRET.encode() not in pickle.dumps(caught.value)


def test_no_secret_is_told_or_kept(way: Way, survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in tasks, in the store, in products, in what is printed, nor in errors."""
    tasks: list[bytes] = []

    def spy(calls: list[Call], progress: Any, **more: Any) -> list[Any]:
        tasks.append(pickle.dumps(calls))
        return run(calls, progress, **more)

    monkeypatch.setattr("dmontage.pipeline.stages.run", spy)
    dm.mosaic(RAW, survey.grid, STORE).write(OUT)
    kept = [there.read_bytes() for there in url(f"s3://{BUCKET}").below()]
    assert len(tasks) == 3 and len(kept) > 30, "project, fit and coadd"
    way.fault = lambda method, path: 403 if "image" in path else None
    failed = command("mosaic", RAW, "-o", tmp_path / "m.fits", "--workdir", tmp_path / "run.zarr", way=way)
    out, err = failed.communicate(timeout=60)
    assert failed.returncode == 1 and "Error: s3://survey/raw/image0" in err and "403" in err
    for text in (*tasks, *kept, out.encode(), err.encode()):
        assert SECRET.encode() not in text and b"somebody" not in text and b"AWS4" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"s3://key:{SECRET}@bucket/x.fits", "credentials in the environment"),
        (f"s3://{SECRET}@bucket/x.fits", "credentials in the environment"),
        (f"s3://bucket/x.fits?X-Amz-Signature={SECRET}", "a URL with a query"),
        ("https://host/x.fits", "https:// is no place that can be read"),
        ("file://other/x.fits", "a file on another machine"),
        ("s3://bucket/a//x.fits", "a key with an empty part"),
        ("s3://bucket/a/../x.fits", "a key with an empty part"),
        ("s3:///x.fits", "without a plain bucket name"),
    ],
)
def test_urls_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        place(text)
    assert SECRET not in str(caught.value)


def test_what_is_not_there_is_said_at_once(way: Way, survey: Survey) -> None:
    begin = time.monotonic()
    with pytest.raises(InputError, match="nothing: no such file or folder"):
        scan(f"s3://{BUCKET}/nothing")
    with pytest.raises(InputError, match="there is no such bucket"):
        scan("s3://no-such-bucket/raw/")
    with pytest.raises(InputError, match=r"there is no s3://survey/none\.zarr"):
        Store.open(f"s3://{BUCKET}/none.zarr")
    with pytest.raises(InputError, match="is no dmontage run"):
        Store.open(RAW)
    with pytest.raises(InputError, match="is no dmontage run"):
        dm.mosaic(RAW, survey.grid, RAW).compute()
    with pytest.raises(InputError, match="a whole bucket is no place for a store"):
        Objects(url("s3://empty")).reserved().__enter__()
    assert len(list(url(RAW).below())) == len(survey.paths)
    assert time.monotonic() - begin < 20


def test_no_server_and_no_credentials(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "RETRIES", buckets.RETRIES | {"max_retries": 1})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    buckets.forget()
    with pytest.raises(UnreachableError, match="cannot be reached, tried 4 times"):
        scan(RAW)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    buckets.forget()
    with pytest.raises(InputError, match="Missing AccessKeyId; set AWS_ACCESS_KEY_ID"):
        scan(RAW)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setattr(buckets, "_METADATA", "127.0.0.1:9")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    buckets.forget()
    with pytest.raises(UnreachableError, match="has no credentials; set AWS_ACCESS_KEY_ID"):
        scan(RAW)


def test_without_obstore_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    buckets.forget()
    with pytest.raises(InputError, match=r"pip install 'dmontage\[cloud\]'"):
        scan(RAW)


def test_a_workers_process_reaches_the_store(way: Way, survey: Survey, expected: str, tmp_path: Path) -> None:
    """Two processes over TCP, which have their credentials from their own environment."""
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster):
        dm.mosaic(RAW, survey.grid, STORE).write(OUT)
        assert digest(OUT, tmp_path) == expected
        # The workers keep the store open: other layers take the place of the old ones.
        dm.mosaic(RAW, survey.grid, STORE, also="depth").write(tmp_path / "m.fits")
        assert str(fits.getheader(tmp_path / "m.fits")["DATAHASH"]) == expected
        assert fits.getdata(tmp_path / "m_depth.fits").max() == 4
        with pytest.raises(InputError, match="is of this process alone"):
            dm.mosaic(RAW, survey.grid, "memory://a/run.zarr").compute()


def test_google(survey: Survey, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its versions are numbers of its own, by which a lock is held."""
    monkeypatch.setattr(lease, "BEAT", 0.2)
    with gcs_server() as server:
        for key, value in server.items():
            monkeypatch.setenv(key, value)
        buckets.forget()
        for path in survey.paths:
            place(f"gs://survey/raw/{path.name}").write_bytes(path.read_bytes())
        dm.mosaic("gs://survey/raw", survey.grid, "gs://survey/run.zarr").write("gs://survey/out/m.fits")
        assert digest("gs://survey/out/m.fits", tmp_path) == expected
        with Store.open("gs://survey/run.zarr").locked():
            time.sleep(0.5)
            with pytest.raises(InUseError, match=r"run\.zarr is in use by another run"):
                Store.open("gs://survey/run.zarr").locked().__enter__()
    buckets.forget()


def test_a_copy_that_this_machine_cannot_keep() -> None:
    """It is not the store that is asked again, nor blamed."""
    there = place("memory://kept/large")
    assert isinstance(there, Url)
    there.write_bytes(bytes(1 << 20))
    for path, reason in (("/dev/full", "No space left"), ("/dev/null/x", "Not a directory")):
        begin = time.monotonic()
        with pytest.raises(InputError, match=f"cannot write {path}: {reason}.*TMPDIR") as caught:
            there.fetch(Path(path))
        assert type(caught.value) is InputError and time.monotonic() - begin < 0.2
    there.unlink()


def test_memory_and_file_urls(survey: Survey, expected: str, tmp_path: Path) -> None:
    for path in survey.paths:
        place(f"memory://kept/raw/{path.name}").write_bytes(path.read_bytes())
    dm.mosaic("memory://kept/raw", survey.grid, "memory://kept/run.zarr").write(f"file://{tmp_path}/m.fits")
    assert str(fits.getheader(tmp_path / "m.fits")["DATAHASH"]) == expected
    dm.mosaic(f"file://{survey.folder}", survey.grid, f"file://{tmp_path}/run.zarr").write(tmp_path / "n.fits")
    assert (tmp_path / "n.fits").read_bytes() == (tmp_path / "m.fits").read_bytes()
    assert (tmp_path / "run.zarr").is_dir()
    for there in place("memory://kept").below():  # type: ignore[union-attr]
        there.unlink()


def test_a_path_that_pathlib_made_of_a_url() -> None:
    assert place(Path("s3://bucket/a/b.fits")) == place("s3://bucket/a/b.fits") == Url("s3", "bucket", "a/b.fits")
    assert place(Path("file:///tmp/x")) == place("file:///tmp/x") == Path("/tmp/x")
    assert place("a:b/c") == Path("a:b/c")
    odd = Path("/tmp/a b/50% of #1?.fits")
    assert place(odd.as_uri()) == odd
    assert place("S3://bucket/a") == place("s3://bucket/a/")
