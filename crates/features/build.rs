//! Only there because cargo asks for build dependencies where there is a build script.
fn main() {}
