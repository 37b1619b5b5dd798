//! Images for those who give none.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::TempDir;

use crate::interrupt::{self, Temporary};

/// The size of the made-up images, that of a common photo in a data set.
const MADE_UP: (u32, u32) = (500, 375);
const MADE_UP_IMAGES: u64 = 12;

/// Returns images that are neither flat nor noise, as PNG: there is no encoder for JPEG here.
pub fn made_up_images() -> anyhow::Result<(TempDir, Temporary)> {
    let directory = tempfile::tempdir()?;
    let temporary = interrupt::remove_when_stopped(directory.path());
    for seed in 0..MADE_UP_IMAGES {
        write_made_up(&directory.path().join(format!("{seed:02}.png")), seed)?;
    }
    Ok((directory, temporary))
}

fn write_made_up(path: &Path, seed: u64) -> anyhow::Result<()> {
    let (width, height) = MADE_UP;
    let mut random = fastrand::Rng::with_seed(seed);
    let waves: Vec<[f32; 3]> = (0..6)
        .map(|_| [random.f32() * 0.1, random.f32() * 0.1, random.f32() * 6.3])
        .collect();
    let mut pixels = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let wave = |[a, b, c]: &[f32; 3]| (a * x as f32 + b * y as f32 + c).sin();
                let level: f32 = waves[channel * 2..][..2].iter().map(wave).sum();
                let noise = random.f32() * 16.0;
                pixels.push((level * 56.0 + 120.0 + noise) as u8);
            }
        }
    }
    let mut encoder = png::Encoder::new(io::BufWriter::new(File::create(path)?), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    Ok(writer.finish()?)
}
