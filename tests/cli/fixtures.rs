//! Images, good and bad, that the commands of snapshots read.

use std::fs;
use std::path::Path;
use std::process::Command;

use classify_tests::{ensure, small_model};
use libtest_mimic::Failed;

/// Returns an image of 8 x 8 pixels of one grey.
fn grey(level: u8) -> Vec<u8> {
    [b"P6 8 8 255\n".as_slice(), &[level; 192]].concat()
}

/// Writes all files into `root`.
pub fn write(root: &Path) -> Result<(), Failed> {
    let at = |name: &str| root.join(name);
    let stripes: Vec<u8> = (0..192_u8).collect();
    let files: [(&str, &[u8]); 10] = [
        ("dark.ppm", &grey(10)),
        ("light.ppm", &grey(200)),
        (
            "stripes.ppm",
            &[b"P6 8 8 255\n".as_slice(), &stripes].concat(),
        ),
        ("empty.jpg", b""),
        ("text.jpg", b"this is no image"),
        (
            "cut.jpg",
            b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0",
        ),
        ("cut.png", b"\x89PNG\r\n\x1a\n"),
        ("cut.ppm", b"P6 8 8 255\n123"),
        ("bomb.pgm", b"P5 100000 100000 255\n"),
        ("labels-with-nul.txt", b"cat\0dog\n"),
    ];
    for (name, bytes) in files {
        fs::write(at(name), bytes)?;
    }
    for directory in [
        "nothing",
        "directory.jpg",
        "photos/cats",
        "links",
        "classes/10",
        "shots",
    ] {
        fs::create_dir_all(at(directory))?;
    }
    fs::write(at("photos/cats/cat.ppm"), grey(90))?;
    fs::write(at("photos/.hidden.ppm"), grey(90))?;
    fs::write(at("photos/notes.txt"), "no image")?;
    fs::copy(at("dark.ppm"), at("classes/10/dark.ppm"))?;
    for name in ["dark.ppm", "light.ppm"] {
        fs::copy(at(name), at("shots").join(name))?;
    }
    // Its name suggests recipes.
    fs::copy(small_model("plain.onnx"), at("my-mobilenet-v2.onnx"))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink("/nowhere/cat.png", at("links/dangling.png"))?;
        symlink("loop.png", at("links/loop.png"))?;
        symlink("../nothing", at("links/directory"))?;
        let made = Command::new("mkfifo").arg(at("pipe.jpg")).status()?;
        ensure(made.success(), made)?;
    }
    Ok(())
}
