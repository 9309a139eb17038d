//! The scripted surgeon at the console of another process: `surgeon ADDRESS TOKEN SECONDS`. Says what it does as it does it, one JSON object per
//! line, and at the end what came of it. For tests on the simulator; the console takes it for the person that the token was printed for.
#![allow(missing_docs)]

use anyhow::Context as _;
use proctor_console::{
    Token,
    protocol::ClientMessage,
    scripted::{Policy, run_watched},
};
use serde_json::json;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, token, seconds] = arguments.as_slice() else { anyhow::bail!("usage: surgeon ADDRESS TOKEN SECONDS") };
    let token: Token = token.parse().context("TOKEN")?;
    let duration = Duration::from_secs(seconds.parse().context("SECONDS")?);
    let mut pressed = 0;
    let say = |message: &ClientMessage| match *message {
        // Only the first of a press: it is repeated while it lasts.
        ClientMessage::Hold { down: true, press, .. } if press == pressed => {}
        ClientMessage::Hold { down: true, press, digest, .. } => {
            pressed = press;
            println!("{}", json!({ "holds": digest.to_string() }));
        }
        ref other => println!("{}", json!({ "says": other })),
    };
    let summary = run_watched(address.parse().context("ADDRESS")?, token, Policy::default(), duration, say).await?;
    println!("{}", json!({ "summary": summary }));
    Ok(())
}
