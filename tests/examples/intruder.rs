//! Somebody with a machine's certificate and bad intentions: `intruder SESSION SECONDS` publishes commands to an arm and the surgeon's presence,
//! and listens to everything there is. Its last line says what it sent and heard, as JSON. For tests of a network's access control.
#![allow(missing_docs)]

use anyhow::Context as _;
use proctor_bus::{Bus, HirozConfig, graph};
use proctor_types::{ArmId, Digest, JointCommand, Joints, OperatorId, Presence, Sealed, Stamp, ToArm};
use serde_json::json;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Who it says it is: nobody else is called so.
const NOBODY: OperatorId = OperatorId(666);
const PERIOD: Duration = Duration::from_millis(20);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [session, seconds] = arguments.as_slice() else { anyhow::bail!("usage: intruder SESSION SECONDS") };
    let duration = Duration::from_secs(seconds.parse().context("SECONDS")?);
    let config = HirozConfig {
        session: Some(session.into()),
        listen: Vec::new(),
        node_name: "intruder".into(),
        ..HirozConfig::default()
    };
    let bus = Bus::hiroz(&config)?;
    println!("{}", json!({ "connected": true }));
    let presence = bus.publisher::<Sealed<Presence>>(&graph::presence())?;
    let servo = bus.publisher::<ToArm<JointCommand>>(&graph::servo_jp(ArmId::Psm1))?;
    let ears = graph::all()
        .into_iter()
        .map(|t| Ok((bus.raw_subscriber(&t, 64)?, t.name)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (start, mut sent, mut heard) = (Instant::now(), 0_u64, BTreeMap::<&str, u64>::new());
    while start.elapsed() < duration {
        sent += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let stamp = Stamp::from_nanos("now", i64::try_from(now)?)?;
        let (operator, digest) = (NOBODY, Digest::default());
        presence.publish(&Sealed::bare(Presence { stamp, seq: sent, operator, held: true, digest }))?;
        let body = JointCommand { arm: ArmId::Psm1, stamp, position: Joints::new(&[0.666; 6])? };
        servo.publish(&ToArm { body, seal: None })?;
        for (ear, topic) in &ears {
            let count = std::iter::from_fn(|| ear.take()).count() as u64;
            if count > 0 {
                *heard.entry(topic).or_default() += count;
            }
        }
        std::thread::sleep(PERIOD);
    }
    println!("{}", json!({ "sent": sent, "heard": heard }));
    Ok(())
}
