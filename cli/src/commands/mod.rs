//! What the program can do, one file each.

pub mod classify;
pub mod devices;
pub mod inspect;
pub mod manual;
