//! Nothing but a `Cargo.toml`: it asks for the features that tests turn on in shared dependencies, so that `cargo build` and
//! `cargo test` of the workspace share what they build.
