//! From every cause to the first set-point that brakes and to rest, in ticks: measured against a twin to which nothing happens, and held
//! against the table in SAFETY.md. `UPDATE_SAFETY=1` writes the table anew.
#![allow(clippy::unwrap_used)]

mod support;

use proctor_safety::{Event, SafetyParams};
use proctor_types::{Alignment, ArmId, ArmStatus, Constraint, OperatingState, Outcome, Proposal, SafetyMode, Stamp};
use std::{fmt::Write, time::Duration};
use support::{Cellar, running};

const BEGIN: &str = "<!-- reactions: measured by nodes/safety/tests/reactions.rs -->\n";
const END: &str = "<!-- end of reactions -->";
const SAFETY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../SAFETY.md");

/// What moves when the cause comes.
#[derive(Clone, Copy)]
enum While {
    Teleop,
    Supervised,
}

/// A cell in motion, and what keeps it going.
struct Scene {
    cell: Cellar,
    motion: Option<Proposal>,
    driven: bool,
}

impl Scene {
    fn new(during: While) -> Self {
        match during {
            While::Teleop => {
                let cell = Cellar::in_mode(SafetyParams::default(), SafetyMode::Teleop);
                let mut scene = Self { cell, motion: None, driven: true };
                (0..250).for_each(|_| scene.tick(Duration::from_millis(1)));
                scene
            }
            While::Supervised => {
                let (cell, proposal) = running();
                Self { cell, motion: Some(proposal), driven: false }
            }
        }
    }

    fn tick(&mut self, after: Duration) {
        if self.driven {
            let at = *self.cell.at.get(ArmId::Psm1);
            let mut q = self.cell.core.set_point(ArmId::Psm1).unwrap_or(at);
            // Far enough ahead that the tip-speed limit, and not the goal, decides the speed.
            q[0] += 0.1;
            self.cell.teleop(ArmId::Psm1, &q);
        }
        drop(self.cell.tick_after(after));
    }

    fn speed(&self) -> f64 {
        self.cell.speed(ArmId::Psm1)
    }
}

struct Row {
    cause: &'static str,
    constraint: Constraint,
    during: While,
    /// What happens, at once.
    strike: fn(&mut Scene),
    /// Time to the next tick; a millisecond unless the clock is the cause.
    first_tick: Duration,
    clears: &'static str,
}

#[derive(Debug, PartialEq)]
struct Measured {
    /// Ticks from the cause to the first verdict that names it.
    detected: usize,
    /// From there to the first set-point slower than the twin's; 0 is the same tick.
    braking: usize,
    /// From the first slower set-point to rest.
    rest: usize,
    /// Mode at rest.
    mode: SafetyMode,
}

fn measure(row: &Row) -> Measured {
    let (mut hit, mut twin) = (Scene::new(row.during), Scene::new(row.during));
    hit.cell.verdicts.clear();
    (row.strike)(&mut hit);
    let (mut detected, mut braking) = (None::<usize>, None::<usize>);
    for tick in 0..3000 {
        let after = if tick == 0 { row.first_tick } else { Duration::from_millis(1) };
        hit.tick(after);
        twin.tick(Duration::from_millis(1));
        let named = |v: &proctor_types::Verdict| v.constraint == row.constraint && v.outcome != Outcome::Passed;
        let known = hit.cell.verdicts.iter().any(named) || hit.cell.core.machine().cause == Some(row.constraint);
        detected = detected.or(known.then_some(tick));
        let slower = hit.speed() < twin.speed() * (1.0 - 1e-6);
        braking = braking.or(slower.then_some(tick));
        if let (Some(detected), Some(braking), true) = (detected, braking, hit.speed() == 0.0) {
            // A tick more, for the mode that rest allows.
            hit.tick(Duration::from_millis(1));
            let late = braking.checked_sub(detected);
            let braking_after =
                late.unwrap_or_else(|| panic!("{}: slower at {braking}, known at {detected}", row.cause));
            return Measured { detected, braking: braking_after, rest: tick - braking, mode: hit.cell.mode() };
        }
    }
    panic!("{}: detected {detected:?}, braking {braking:?}, speed {}", row.cause, hit.speed());
}

fn estop(s: &mut Scene) {
    // Of nobody known, without any proof: an e-stop counts all the same.
    s.cell.queue.push(Event::EStop);
}

fn rows() -> Vec<Row> {
    use While::{Supervised, Teleop};
    let reset = "Reset, at rest";
    let ready = "Ready, at rest";
    let row = |cause, constraint, during, strike, clears| Row {
        cause,
        constraint,
        during,
        strike,
        first_tick: Duration::from_millis(1),
        clears,
    };
    let estop_line: fn(&mut Scene) = |s| s.cell.queue.push(Event::EStopLine(true));
    let silent: fn(&mut Scene) = |s| s.cell.faults.silent.ecm = true;
    let blow: fn(&mut Scene) = |s| s.cell.force.psm2 = Some(nalgebra::Vector3::new(0.0, 10.0, 0.0));
    let not_ready: fn(&mut Scene) = |s| {
        s.cell.status.psm2 = OperatingState::Fault;
        let (arm, stamp, state) = (ArmId::Psm2, s.cell.now, OperatingState::Fault);
        s.cell.queue.push(Event::Status(ArmStatus { arm, stamp, state, is_homed: true, is_busy: false }));
    };
    let released: fn(&mut Scene) = |s| {
        let digest = s.motion.as_ref().unwrap().digest();
        s.cell.hold = None;
        let presence = s.cell.presence(false, digest);
        s.cell.hear(presence);
    };
    let contradicted: fn(&mut Scene) = |s| {
        s.cell.alignment = Alignment::Inconsistent;
        let scene = proctor_safety::LiveScene::new(&s.cell.scene());
        s.cell.queue.push(Event::Scene(Box::new(scene)));
    };
    let withdrawn: fn(&mut Scene) = |s| {
        let motion = s.motion.take().unwrap();
        s.cell.withdraw(&motion);
    };
    vec![
        row("e-stop request of anybody", Constraint::EStop, Teleop, estop, reset),
        row("e-stop request of anybody", Constraint::EStop, Supervised, estop, reset),
        row("e-stop line", Constraint::EStop, Supervised, estop_line, "released, then Reset, at rest"),
        row("arm does not follow", Constraint::FollowingError, Teleop, |s| s.cell.faults.stuck.psm1 = true, reset),
        row(
            "kinematics silent or NaN",
            Constraint::KinematicsStale,
            Teleop,
            silent,
            "fresh again, then Ready, at rest",
        ),
        row(
            "kinematics silent or NaN",
            Constraint::KinematicsStale,
            Supervised,
            silent,
            "fresh again, then Ready, at rest",
        ),
        row(
            "arm not enabled, not homed or faulty",
            Constraint::ArmNotReady,
            Teleop,
            not_ready,
            "ready again, then Ready",
        ),
        Row {
            first_tick: Duration::from_millis(51),
            ..row("clock gap above 50 ms", Constraint::ClockJump, Supervised, |_| {}, ready)
        },
        row("clock goes back", Constraint::ClockJump, Teleop, |s| s.cell.now = Stamp::FIRST, ready),
        row("teleoperation silent", Constraint::CommandStale, Teleop, |s| s.driven = false, ready),
        row("force rises too fast", Constraint::ForceRate, Teleop, blow, "calm again, then Ready, at rest"),
        row("force rises too fast", Constraint::ForceRate, Supervised, blow, "calm again, then Ready, at rest"),
        row(
            "forces no longer measured",
            Constraint::ForceStale,
            Teleop,
            |s| s.cell.faults.numb = true,
            "measured again, then Ready, at rest",
        ),
        row("scene silent or unusable", Constraint::SceneStale, Supervised, |s| s.cell.faults.blind = true, ready),
        row("scene contradicts the moving arm's kinematics", Constraint::SceneStale, Supervised, contradicted, ready),
        row("presence released", Constraint::PresenceLost, Supervised, released, "held again within 5 s"),
        row(
            "presence silent",
            Constraint::PresenceLost,
            Supervised,
            |s| s.cell.faults.absent = true,
            "held again within 5 s",
        ),
        row("motion withdrawn", Constraint::Withdrawn, Supervised, withdrawn, "a new proposal"),
    ]
}

fn table() -> String {
    let mut out = String::from(BEGIN);
    out.push_str("| cause | constraint | during | known after | brakes | rests after | in | clears by |\n|---|---|---|---|---|---|---|---|\n");
    for row in rows() {
        let m = measure(&row);
        let during = match row.during {
            While::Teleop => "TELEOP",
            While::Supervised => "SUPERVISED",
        };
        let brakes = if m.braking == 0 { "same tick".to_owned() } else { format!("+{} ticks", m.braking) };
        let (name, mode) = (row.constraint.name(), format!("{:?}", m.mode).to_uppercase());
        writeln!(
            out,
            "| {} | `{name}` | {during} | {} | {brakes} | {} | {mode} | {} |",
            row.cause, m.detected, m.rest, row.clears
        )
        .unwrap();
    }
    out + END
}

#[test]
fn every_cause_brakes_at_most_a_tick_after_it_is_known() {
    for row in rows() {
        let m = measure(&row);
        assert!(m.braking <= 1, "{}: {m:?}", row.cause);
    }
}

#[test]
fn safety_md_says_what_was_measured() {
    let text = std::fs::read_to_string(SAFETY).unwrap();
    let (from, to) = (text.find(BEGIN).unwrap(), text.find(END).unwrap() + END.len());
    let table = table();
    if std::env::var_os("UPDATE_SAFETY").is_some() {
        std::fs::write(SAFETY, format!("{}{table}{}", &text[..from], &text[to..])).unwrap();
        return;
    }
    assert_eq!(&text[from..to], table, "run with UPDATE_SAFETY=1 and read what changed");
}
