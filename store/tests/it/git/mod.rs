//! Owns the tests of the lens to Git, with the real `git` as the other side.

mod backend;
mod cache;
mod fixture;
mod histories;
mod hostile;
mod plain;
mod texts;
