//! The console against a stand-in for the rest of the system, for working on the page and its tests.
//!
//! Prints `console: URL` and `token: ..`; reads `fault NAME on|off` and `token` (a new one) from standard input.

#[path = "../tests/support/rig.rs"]
mod rig;

use proctor_bus::{Bus, Node};
use proctor_console::{ConsoleNode, ConsoleParams, Server, Token};
use proctor_types::{Role, Stamp};
use std::{
    io::BufRead,
    sync::mpsc,
    time::{Duration, Instant, SystemTime},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(0), |p| p.parse())?;
    let bus = Bus::memory();
    let params = ConsoleParams { allow_scripted: true, ..ConsoleParams::default() };
    let mut node = ConsoleNode::new(&bus, params, rig::root_secret())?;
    let shared = node.shared();
    let server = Server::start(([127, 0, 0, 1], port).into(), shared.clone())?;
    let greet = |role: Role, name: &str| {
        let token = Token::random();
        shared.add_token(token, role);
        println!("{name}: {token}");
    };
    println!("console: {}", server.url());
    greet(Role::Surgeon, "token");
    greet(Role::Scripted, "scripted-token");

    let (lines, commands) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });

    let mut rig = rig::Rig::new(&bus);
    let (epoch, start) = (SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?, Instant::now());
    loop {
        let now = Stamp::FIRST.plus(epoch + start.elapsed());
        rig.step(now);
        node.poll(now);
        while let Ok(line) = commands.try_recv() {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["fault", name, state] => rig.fault(name, state == "on"),
                ["token"] => greet(Role::Surgeon, "token"),
                ["quit"] => return Ok(()),
                _ => eprintln!("not understood: {line}"),
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
