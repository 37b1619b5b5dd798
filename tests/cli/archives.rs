//! Images in tar archives: read from their places, named by their members, and never short of one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, Run, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tar::{Builder, EntryType, Header};

use crate::classify;

pub fn trials(engines: &Needs) -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 17] = [
        ("images_have_the_answers_of_files", same_answers),
        ("every_form_of_long_names_is_read", long_names),
        ("values_of_pax_may_have_line_breaks", line_breaks),
        ("global_names_and_sizes_are_an_error", global_values),
        ("names_of_members_are_data", names_are_data),
        (
            "links_devices_and_sparse_files_fail_by_name",
            refused_members,
        ),
        ("content_without_a_file_is_an_error", bare_content),
        ("labels_and_directories_of_gnu_are_skipped", gnu_only),
        ("an_archive_that_is_cut_short_is_an_error", cut_short),
        ("data_behind_the_end_is_an_error", behind_the_end),
        ("a_damaged_header_is_an_error", damaged_header),
        ("endless_headers_are_an_error", long_headers),
        ("other_members_are_counted", other_members),
        ("an_archive_without_images_is_an_error", no_images),
        ("an_archive_is_not_overwritten", not_overwritten),
        ("compressed_archives_are_refused_by_content", compressed),
        ("archives_are_divided_among_shards", shards),
    ];
    tests
        .map(|(name, test)| engines.test(format!("archives::{name}"), test))
        .into()
}

pub fn ppm(index: usize) -> Vec<u8> {
    let pixels = (0..192).map(|place| (place * (index + 3)) as u8);
    b"P6 8 8 255\n".iter().copied().chain(pixels).collect()
}

fn header(kind: EntryType, bytes: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(bytes as u64);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

/// A member with exactly this name, which a builder would clean.
pub fn add_raw(
    builder: &mut Builder<Vec<u8>>,
    kind: EntryType,
    name: &str,
    bytes: &[u8],
) -> Result<(), Failed> {
    let mut header = header(kind, bytes.len());
    let field = &mut header.as_old_mut().name;
    field[..name.len()].copy_from_slice(name.as_bytes());
    if kind == EntryType::GNUSparse {
        let size = header.as_gnu_mut().map(|gnu| &mut gnu.realsize);
        size.ok_or("no GNU header")?[..11].fill(b'0');
    }
    header.set_cksum();
    Ok(builder.append(&header, bytes)?)
}

pub fn archive(members: &[(&str, &[u8])]) -> Result<Vec<u8>, Failed> {
    let mut builder = Builder::new(Vec::new());
    for (name, bytes) in members {
        builder.append_data(&mut header(EntryType::Regular, bytes.len()), name, *bytes)?;
    }
    Ok(builder.into_inner()?)
}

fn json(inputs: &[&Path]) -> Command {
    let mut command = classify();
    command.args(["--backend", "onnx", "--format", "json", "--quiet"]);
    command
        .args(["--color", "rgb", "-m"])
        .arg(small_model("plain.onnx"));
    if !inputs.is_empty() {
        command.arg("-i").args(inputs);
    }
    command
}

fn rows(run: &Run) -> Result<Vec<Value>, Failed> {
    let rows = run.stdout.lines().map(serde_json::from_str);
    Ok(rows.collect::<Result<_, _>>()?)
}

fn paths(run: &Run) -> Result<Vec<String>, Failed> {
    let path = |row: Value| row["path"].as_str().unwrap_or_default().to_owned();
    Ok(rows(run)?.into_iter().map(path).collect())
}

fn same_answers() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let at = |name: &str| directory.path().join(name);
    let images: Vec<Vec<u8>> = (0..3).map(ppm).collect();
    let members = [
        ("b/1.ppm", &*images[1]),
        ("a/0.ppm", &images[0]),
        ("2.PPM", &images[2]),
    ];
    fs::write(at("some.tar"), archive(&members)?)?;
    let mut files = Vec::new();
    for (index, (_, bytes)) in members.iter().enumerate() {
        files.push(at(&format!("{index}.ppm")));
        fs::write(&files[index], bytes)?;
    }
    let of_files = run(&mut json(
        &files.iter().map(PathBuf::as_path).collect::<Vec<_>>(),
    ));
    let of_archive = run(&mut json(&[&at("some.tar")]));
    expect_code(&of_archive, 0)?;
    let tops = |run: &Run| -> Result<Vec<Value>, Failed> {
        Ok(rows(run)?
            .into_iter()
            .map(|row| row["top"].clone())
            .collect())
    };
    ensure(tops(&of_files)? == tops(&of_archive)?, &of_archive)?;
    // In the order of the archive.
    let name = |member: &str| format!("{}/{member}", at("some.tar").display());
    let named = members.map(|(member, _)| name(member));
    ensure(paths(&of_archive)? == named, &of_archive)?;
    // In a directory, too.
    let of_directory = run(&mut json(&[directory.path()]));
    ensure(paths(&of_directory)?.ends_with(&named), &of_directory)?;
    let mut list = json(&[]);
    fs::write(at("list.txt"), format!("{}\n", at("some.tar").display()))?;
    let of_list = run(list.arg("--input-list").arg(at("list.txt")));
    ensure(paths(&of_list)? == named, &of_list)
}

fn long_names() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("long.tar");
    let long = |letter: char| {
        format!(
            "{}/{}.ppm",
            String::from(letter).repeat(90),
            "n".repeat(200)
        )
    };
    let mut builder = Builder::new(Vec::new());
    let image = ppm(1);
    // GNU's, of which the builder makes a member of its own.
    builder.append_data(
        &mut header(EntryType::Regular, image.len()),
        long('g'),
        &*image,
    )?;
    let pax = long('p');
    builder.append_pax_extensions([("path", pax.as_bytes())])?;
    builder.append_data(
        &mut header(EntryType::Regular, image.len()),
        "short.ppm",
        &*image,
    )?;
    fs::write(&path, builder.into_inner()?)?;
    let classified = run(&mut json(&[&path]));
    expect_code(&classified, 0)?;
    let expected = [long('g'), pax].map(|name| format!("{}/{name}", path.display()));
    ensure(paths(&classified)? == expected, &classified)
}

/// As Python's `tarfile` reads them. The size stands behind the line breaks: without it, no other member would be found.
fn line_breaks() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("breaks.tar");
    let image = ppm(1);
    let size = image.len().to_string();
    let name = "a\n12 path=b.jpg\n.ppm";
    let mut builder = Builder::new(Vec::new());
    builder.append_pax_extensions([
        ("comment", &b"one\n\ntwo\n"[..]),
        ("path", name.as_bytes()),
        ("size", size.as_bytes()),
    ])?;
    let mut wrong = header(EntryType::Regular, 0);
    builder.append_data(&mut wrong, "short.ppm", std::io::empty())?;
    let mut bytes = builder.into_inner()?;
    // Without the end that the builder writes.
    bytes.truncate(bytes.len() - 1024);
    bytes.extend(&image);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend(archive(&[("last.ppm", &ppm(2))])?);
    fs::write(&path, bytes)?;
    let classified = run(&mut json(&[&path]));
    expect_code(&classified, 0)?;
    let expected = [name, "last.ppm"].map(|name| format!("{}/{name}", path.display()));
    ensure(paths(&classified)? == expected, &classified)
}

/// Python would give them to every member.
fn global_values() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("global.tar");
    for (record, code) in [
        ("14 path=g.ppm\n", None),
        ("12 size=203\n", None),
        ("16 comment=none\n", Some(0)),
    ] {
        let mut builder = Builder::new(Vec::new());
        let mut global = Header::new_ustar();
        global.set_entry_type(EntryType::XGlobalHeader);
        global.set_size(record.len() as u64);
        builder.append_data(&mut global, "pax_global_header", record.as_bytes())?;
        builder.append_data(&mut header(EntryType::Regular, 203), "0.ppm", &*ppm(0))?;
        fs::write(&path, builder.into_inner()?)?;
        let classified = run(&mut json(&[&path]));
        expect_code(&classified, code.unwrap_or(2))?;
        let key = record.get(3..7).unwrap_or_default();
        let error = format!("a global PAX header has `{key}`");
        let is_named = classified.stderr.contains(&error);
        ensure(is_named == code.is_none(), &classified)?;
    }
    Ok(())
}

fn names_are_data() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("odd.tar");
    let outside = directory.path().join("outside.ppm");
    // If it were read, the image would be damaged.
    fs::write(&outside, b"P6 8 8 255\n")?;
    let outside = outside.to_string_lossy().into_owned();
    let names = [
        &*outside,
        "../outside.ppm",
        "./a.ppm",
        "a//b.ppm",
        "tab\t.ppm",
    ];
    let mut builder = Builder::new(Vec::new());
    for name in names {
        add_raw(&mut builder, EntryType::Regular, name, &ppm(2))?;
    }
    fs::write(&path, builder.into_inner()?)?;
    let classified = run(&mut json(&[&path]));
    expect_code(&classified, 0)?;
    let expected = names.map(|name| format!("{}/{name}", path.display()));
    ensure(paths(&classified)? == expected, &classified)?;
    let files: Vec<_> = fs::read_dir(directory.path())?.collect();
    ensure(files.len() == 2, files)
}

fn refused_members() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("links.tar");
    let mut builder = Builder::new(Vec::new());
    let mut link = |kind: EntryType, name: &str| {
        let mut header = header(kind, 0);
        builder.append_link(&mut header, name, "/etc/hostname")
    };
    link(EntryType::Symlink, "symbolic.ppm")?;
    link(EntryType::Link, "hard.ppm")?;
    for (kind, name) in [
        (EntryType::Char, "char.ppm"),
        (EntryType::Block, "block.ppm"),
        (EntryType::Fifo, "pipe.ppm"),
        (EntryType::GNUSparse, "sparse.ppm"),
        (EntryType::new(b'Q'), "unknown.ppm"),
    ] {
        add_raw(&mut builder, kind, name, b"")?;
    }
    builder.append_pax_extensions([
        ("GNU.sparse.major", &b"1"[..]),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"pax.ppm"),
        ("GNU.sparse.realsize", b"203"),
    ])?;
    let image = ppm(0);
    add_raw(
        &mut builder,
        EntryType::Regular,
        "GNUSparseFile.0/pax.ppm",
        &image,
    )?;
    add_raw(&mut builder, EntryType::Regular, "good.ppm", &image)?;
    fs::write(&path, builder.into_inner()?)?;
    let classified = run(&mut json(&[&path]));
    expect_code(&classified, 1)?;
    let expected = [
        ("symbolic.ppm", "is a symbolic link"),
        ("hard.ppm", "is a hard link"),
        ("char.ppm", "is a device"),
        ("block.ppm", "is a device"),
        ("pipe.ppm", "is a pipe"),
        ("sparse.ppm", "is a sparse file"),
        ("unknown.ppm", "is of an unknown type"),
        ("pax.ppm", "is a sparse file"),
    ];
    let rows = rows(&classified)?;
    ensure(rows.len() == expected.len() + 1, &rows)?;
    for (row, (name, reason)) in rows.iter().zip(expected) {
        ensure(row["path"] == format!("{}/{name}", path.display()), row)?;
        ensure(
            row["error"]["message"] == format!("the member of the archive {reason}"),
            row,
        )?;
    }
    ensure(rows[expected.len()]["top"].is_array(), &rows)
}

/// Wherever an archive ends early, none of its images is classified.
/// Python's `tarfile` reads a member in the content of a directory, and GNU tar does not.
fn bare_content() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("content.tar");
    for (kind, name) in [
        (EntryType::Directory, "d"),
        (EntryType::Link, "l.ppm"),
        (EntryType::Symlink, "l.ppm"),
        (EntryType::Fifo, "p.ppm"),
        (EntryType::Regular, "d/"),
    ] {
        let mut builder = Builder::new(Vec::new());
        add_raw(&mut builder, EntryType::Regular, "a.ppm", &ppm(0))?;
        if kind == EntryType::Regular {
            // As the oldest programs write it.
            let mut header = Header::new_old();
            header.set_path(name)?;
            header.set_size(512);
            header.as_old_mut().linkflag = [0];
            header.set_cksum();
            builder.append(&header, &[0; 512][..])?;
        } else {
            add_raw(&mut builder, kind, name, &[0; 512])?;
        }
        add_raw(&mut builder, EntryType::Regular, "b.ppm", &ppm(0))?;
        fs::write(&path, builder.into_inner()?)?;
        let result = run(&mut json(&[&path]));
        expect_code(&result, 2)?;
        let words = "after 1 member: a directory, link, device or pipe has content";
        ensure(result.stderr.contains(words), &result)?;
    }
    Ok(())
}

fn gnu_only() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("gnu.tar");
    let mut label = Header::new_gnu();
    label.set_path("label.jpg")?;
    label.set_entry_type(EntryType::new(b'V'));
    label.set_mode(0);
    label.set_cksum();
    ensure(label.as_old().size == [0; 12], "the field is not blank")?;
    let mut archive = label.as_bytes().to_vec();
    let mut builder = Builder::new(Vec::new());
    add_raw(&mut builder, EntryType::new(b'D'), "d/", b"Ya.ppm\0\0")?;
    add_raw(&mut builder, EntryType::Regular, "d/a.ppm", &ppm(0))?;
    // Attributes of macOS.
    add_raw(
        &mut builder,
        EntryType::Regular,
        "d/._a.ppm",
        &[0, 5, 22, 7],
    )?;
    archive.extend(builder.into_inner()?);
    fs::write(&path, archive)?;
    let result = run(&mut json(&[&path]));
    expect_code(&result, 0)?;
    ensure(
        paths(&result)? == [format!("{}/d/a.ppm", path.display())],
        result,
    )
}

fn cut_short() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("cut.tar");
    let images: Vec<Vec<u8>> = (0..2).map(ppm).collect();
    let whole = archive(&[
        ("0.ppm", &images[0]),
        ("1.ppm", &images[1]),
        ("1.cls", b"1"),
    ])?;
    let end = whole.len() - 1024;
    for length in (0..=end + 256).step_by(256) {
        fs::write(&path, &whole[..length])?;
        let classified = run(&mut json(&[&path]));
        expect_code(&classified, 2)?;
        ensure(classified.stdout.is_empty(), (length, &classified))?;
        ensure(classified.stderr.contains("archive"), (length, &classified))?;
    }
    // With another input, the archive is one failure.
    let good = directory.path().join("good.ppm");
    fs::write(&good, &images[0])?;
    fs::write(&path, &whole[..end])?;
    let classified = run(&mut json(&[&path, &good]));
    expect_code(&classified, 1)?;
    let rows = rows(&classified)?;
    ensure(
        rows.len() == 2 && rows[0]["path"] == path.to_string_lossy().as_ref(),
        &rows,
    )?;
    let message = rows[0]["error"]["message"].as_str().unwrap_or_default();
    ensure(
        message.contains("the archive is cut short: its end is missing"),
        &rows,
    )?;
    // One block of zeros is enough.
    fs::write(&path, &whole[..end + 512])?;
    expect_code(&run(&mut json(&[&path])), 0)
}

/// Two archives in one file, and an end in the middle: readers stop there, and the images behind it would be lost.
fn behind_the_end() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("two.tar");
    let images: Vec<Vec<u8>> = (0..2).map(ppm).collect();
    let one = archive(&[("0.ppm", &images[0])])?;
    let two = [&*one, &archive(&[("1.ppm", &images[1])])?].concat();
    let mut hole = archive(&[("0.ppm", &images[0]), ("1.ppm", &images[1])])?;
    hole[1024..1536].fill(0);
    for bytes in [two, hole] {
        fs::write(&path, bytes)?;
        let classified = run(&mut json(&[&path]));
        expect_code(&classified, 2)?;
        let error = "the archive has an end after 1 member, and more data behind it";
        ensure(classified.stderr.contains(error), &classified)?;
        ensure(classified.stdout.is_empty(), &classified)?;
    }
    // Programs fill the last record.
    fs::write(&path, [&*one, &[0; 10240]].concat())?;
    expect_code(&run(&mut json(&[&path])), 0)
}

fn damaged_header() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("damaged.tar");
    let images: Vec<Vec<u8>> = (0..2).map(ppm).collect();
    let mut bytes = archive(&[("0.ppm", &images[0]), ("1.ppm", &images[1])])?;
    bytes[1024 + 1] ^= 1;
    fs::write(&path, bytes)?;
    let classified = run(&mut json(&[&path]));
    expect_code(&classified, 2)?;
    ensure(classified.stderr.contains("checksum"), &classified)?;
    // Bytes that are not a header are not printed.
    fs::write(&path, [0xc3; 2048])?;
    let classified = run(&mut json(&[&path]));
    expect_code(&classified, 2)?;
    let error = "0 members: a header has no number where one belongs\nhint: copy";
    ensure(classified.stderr.contains(error), &classified)?;
    // An image that has the name of an archive.
    fs::write(&path, ppm(1))?;
    let classified = run(&mut json(&[&path]));
    expect_code(&classified, 2)?;
    ensure(
        classified
            .stderr
            .contains("damaged.tar: the archive cannot be read"),
        &classified,
    )
}

fn long_headers() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("long.tar");
    for bytes in [5000, 6 << 20] {
        let mut builder = Builder::new(Vec::new());
        add_raw(
            &mut builder,
            EntryType::GNULongName,
            "././@LongLink",
            &vec![b'a'; bytes],
        )?;
        add_raw(&mut builder, EntryType::Regular, "0.ppm", &ppm(0))?;
        fs::write(&path, builder.into_inner()?)?;
        let classified = run(&mut json(&[&path]));
        expect_code(&classified, 2)?;
        ensure(
            classified.stderr.contains("bytes, more than 4096")
                || classified.stderr.contains("headers of a member"),
            &classified,
        )?;
    }
    Ok(())
}

fn other_members() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("mixed.tar");
    let image = ppm(0);
    let members: [(&str, &[u8]); 5] = [
        ("0.ppm", &image),
        ("0.json", b"{}"),
        ("1.mp3", b"sound"),
        ("README", b"text"),
        ("unnamed", &image),
    ];
    fs::write(&path, archive(&members)?)?;
    let mut command = classify();
    command
        .args(["--backend", "onnx", "--color", "rgb", "-m"])
        .arg(small_model("plain.onnx"));
    let classified = run(command.args(["--format", "json", "-i"]).arg(&path));
    expect_code(&classified, 0)?;
    ensure(paths(&classified)?.len() == 2, &classified)?;
    let note = "skipped 2 non-image files (1 without an ending, 1 .mp3)";
    ensure(classified.stderr.contains(note), &classified)
}

fn no_images() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("none.tar");
    fs::write(&path, archive(&[("0.cls", b"1")])?)?;
    let classified = run(&mut json(&[&path]));
    expect_code(&classified, 2)?;
    ensure(
        classified
            .stderr
            .contains("there are no images in this archive"),
        &classified,
    )
}

fn not_overwritten() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("some.tar");
    let image = ppm(0);
    let bytes = archive(&[("0.ppm", &image)])?;
    fs::write(&path, &bytes)?;
    let classified = run(json(&[&path]).arg("-o").arg(&path));
    expect_code(&classified, 2)?;
    ensure(fs::read(&path)? == bytes, &classified)
}

fn compressed() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let list = directory.path().join("list.txt");
    let gzip = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03a.tar\0";
    for (name, bytes, tool) in [
        ("some.tar", &gzip[..], "gunzip"),
        ("some.tar.gz", gzip, "gunzip"),
        ("some.tgz", gzip, "gunzip"),
        ("zstd.tar", b"\x28\xb5\x2f\xfd\x04\x58\0\0", "unzstd"),
        ("some.tar.xz", b"\xfd7zXZ\0\0\x04\xe6\xd6", "unxz"),
        ("some.tbz2", b"BZh91AY&SY\0\0", "bunzip2"),
    ] {
        let path = directory.path().join(name);
        fs::write(&path, bytes)?;
        fs::write(&list, format!("{}\n", path.display()))?;
        let mut listed = json(&[]);
        listed.arg("--input-list").arg(&list);
        for command in [&mut json(&[&path]), &mut listed] {
            let classified = run(command);
            let stderr = &classified.stderr;
            ensure(
                stderr.contains("compressed archives are not read")
                    && stderr.contains(&format!("hint: decompress it, for example with `{tool}`")),
                &classified,
            )?;
        }
    }
    Ok(())
}

fn shards() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let at = |name: &str| directory.path().join(name);
    let images: Vec<Vec<u8>> = (0..7).map(ppm).collect();
    for (name, first) in [("a.tar", 0), ("b.tar", 2), ("c.tar", 4)] {
        let members: [(&str, &[u8]); 6] = [
            ("x/0.ppm", &images[first]),
            ("x/0.cls", b"1"),
            ("x/1.ppm", &images[first + 1]),
            ("x/1.json", b"{\"cls\": 10}"),
            ("x/2.ppm", b"no image"),
            ("x/2.cls", b"2"),
        ];
        fs::write(at(name), archive(&members)?)?;
    }
    fs::write(at("alone.ppm"), &images[6])?;
    let list =
        ["a.tar", "alone.ppm", "b.tar", "c.tar"].map(|name| format!("{}\n", at(name).display()));
    fs::write(at("list.txt"), list.concat())?;
    let named: [Vec<PathBuf>; 4] = [
        vec!["--input-list".into(), at("list.txt")],
        ["-i".into()]
            .into_iter()
            .chain(["a.tar", "alone.ppm", "b.tar", "c.tar"].map(at))
            .collect(),
        vec!["-i".into(), directory.path().to_owned()],
        vec!["-i".into(), at("[a-c]*.[pt][pa][mr]")],
    ];
    for inputs in named {
        same_in_shards(&directory.path().join("parts"), &inputs)?;
    }
    Ok(())
}

/// The text of a command is the same with shards and without.
fn same_in_shards(parts: &Path, inputs: &[PathBuf]) -> Result<(), Failed> {
    let command = |arguments: &[&str]| {
        let mut command = classify();
        command
            .args(arguments)
            .args(["--quiet", "--color", "rgb", "-m"]);
        command.arg(small_model("plain.onnx")).args(inputs);
        command
    };
    let evaluate = [
        "evaluate",
        "onnx",
        "rten",
        "--truth-webdataset",
        "--label-offset",
        "0",
    ];
    let cases: [(&[&str], usize, i32); 2] = [
        (&["--backend", "onnx", "--format", "csv"], 1, 0),
        (&evaluate, 2, 0),
    ];
    for (arguments, code, shard_code) in cases {
        let whole = run(&mut command(arguments));
        expect_code(&whole, code as i32)?;
        for index in 0..3 {
            let mut shard = command(arguments);
            shard.args(["--shard", &format!("{index}/3"), "--out-dir"]);
            expect_code(&run(shard.arg(parts)), shard_code)?;
        }
        let merged = run(classify().arg("merge").arg(parts));
        expect_code(&merged, code as i32)?;
        ensure(
            whole.stdout == merged.stdout
                && [&*whole.stdout, &whole.stderr]
                    .concat()
                    .contains("b.tar/x/2.ppm"),
            [&whole, &merged],
        )?;
        fs::remove_dir_all(parts)?;
    }
    Ok(())
}
