//! Images, good and bad, that the commands of snapshots read.

use std::fs;
use std::path::Path;

use libtest_mimic::Failed;

/// Writes all files into `root`.
pub fn write(root: &Path) -> Result<(), Failed> {
    let gray = |level: u8| [b"P6 8 8 255\n".as_slice(), &[level; 192]].concat();
    let stripes: Vec<u8> = (0..192_u8).collect();
    let files: [(&str, &[u8]); 8] = [
        ("dark.ppm", &gray(10)),
        ("light.ppm", &gray(200)),
        (
            "stripes.ppm",
            &[b"P6 8 8 255\n".as_slice(), &stripes].concat(),
        ),
        ("empty.jpg", b""),
        ("text.jpg", b"this is no image"),
        ("cut.png", b"\x89PNG\r\n\x1a\n"),
        ("cut.ppm", b"P6 8 8 255\n123"),
        ("bomb.pgm", b"P5 100000 100000 255\n"),
    ];
    for (name, bytes) in files {
        fs::write(root.join(name), bytes)?;
    }
    fs::create_dir_all(root.join("nothing"))?;
    fs::create_dir_all(root.join("photos/cats"))?;
    fs::write(root.join("photos/cats/cat.ppm"), gray(90))?;
    Ok(())
}
