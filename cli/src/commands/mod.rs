//! What the program can do, one file each.

pub mod classify;
