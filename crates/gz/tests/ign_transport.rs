//! Judged by Gazebo's own transport: what is behind `ign topic` (Debian's package ignition-transport-cli) hears us and is heard.

use proctor_gz::{
    Client, Options, Partition,
    messages::{Clock, Double, StringMsg, Time},
};
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

/// Long enough for a busy machine; nothing waits for it to pass.
const LONG: Duration = Duration::from_mins(1);
/// Ports that no other test's and no real simulation uses.
const PORTS: [u16; 2] = [20_437, 20_438];

/// This process's, so that another one that runs the same test is not heard.
fn partition() -> String {
    format!("judge-{}", std::process::id())
}

struct Ign(Child);

impl Drop for Ign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program behind `ign topic`, where Debian puts it; its `ign` looks for it elsewhere.
const IGN_TOPIC: &str = "/usr/libexec/ignition/transport11/ign-transport-topic";

/// `ign topic ARGS` in our partition, or `None` where it is not installed.
fn ign_topic(args: &[&str]) -> Option<Ign> {
    let [topics, services] = PORTS.map(|p| p.to_string());
    let child = Command::new(IGN_TOPIC)
        .args(args)
        .env("IGN_PARTITION", partition())
        .env("IGN_IP", "127.0.0.1")
        .env("IGN_DISCOVERY_MSG_PORT", topics)
        .env("IGN_DISCOVERY_SRV_PORT", services)
        .stdout(Stdio::piped())
        .spawn();
    if child.is_err() {
        println!("SKIPPED: no {IGN_TOPIC} here; scripts/setup.sh test installs it on Debian");
    }
    child.ok().map(Ign)
}

fn client() -> Client {
    let [topics_port, services_port] = PORTS;
    Client::new(Options { topics_port, services_port, ..Options::local(Partition::new(&partition()).unwrap()) })
        .unwrap()
}

#[test]
fn ign_topic_hears_what_we_publish_and_we_hear_what_it_publishes() {
    let client = client();
    let heard = client.subscribe::<StringMsg>("/from/ign", 4).unwrap();
    let other_type = client.subscribe::<Double>("/from/ign", 4).unwrap();

    let Some(mut echo) = ign_topic(&["-e", "-t", "/to/ign", "-n", "1"]) else { return };
    let clock = client.advertise::<Clock>("/to/ign").unwrap();
    let (said, lines) = mpsc::channel();
    let stdout = BufReader::new(echo.0.stdout.take().unwrap());
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
    let start = Instant::now();
    let mut text = String::new();
    while !text.contains("nsec: 500") {
        clock.publish(&Clock { sim: Some(Time { sec: 42, nsec: 500 }) });
        while let Ok(line) = lines.recv_timeout(Duration::from_millis(20)) {
            text += &line;
        }
        assert!(start.elapsed() < LONG, "`ign topic -e` heard {text:?}");
    }
    assert!(text.contains("sim {") && text.contains("sec: 42"), "{text}");

    let start = Instant::now();
    let said = loop {
        // It publishes once and goes, before it can know whether anybody has connected.
        let _once = ign_topic(&["-t", "/from/ign", "-m", "ignition.msgs.StringMsg", "-p", "data: \"cell\""]);
        if let Some(said) = heard.wait(Duration::from_secs(3)) {
            break said;
        }
        assert!(start.elapsed() < LONG, "nothing heard of `ign topic -p`");
    };
    assert_eq!(said.data, "cell");
    assert_eq!(other_type.take(), None);
}
