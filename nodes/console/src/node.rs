//! The node: a thin shell that moves values between the bus, the clients' queue and [`Station`].

use crate::{
    ConsoleError, ConsoleParams,
    desk::{Event, Happening, Output},
    keyring::Keyring,
    protocol::ClientMessage,
    shared::{Arrival, Shared},
    station::Station,
};
use proctor_bus::{Bus, BusError, Node, Publisher, Subscriber, Urgency, Wire, graph};
use proctor_seal::RootSecret;
use proctor_types::{
    ArmId, ArmJoints, ArmStatus, Boot, CameraImage, Decision, Diagnostics, Findings, OperatorId, OperatorRequest,
    Presence, Proposal, RequestKind, SafetyState, Scene, Sealed, Segmentation, SkillRequest, Stamp, Verdict,
    Withdrawal, ZonesState,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Most messages of one topic taken in one poll.
const BATCH: usize = 64;
/// Between two reports on `/diagnostics`.
const REPORT_SECONDS: f64 = 1.0;
/// How often presence is passed on and the e-stop is looked at.
const PERIOD: Duration = Duration::from_millis(5);

/// The console node. Serve its [`Shared`] with [`crate::Server::start`] or [`crate::serve`].
pub struct ConsoleNode {
    station: Option<Station>,
    params: ConsoleParams,
    shared: Arc<Shared>,
    clients: mpsc::Receiver<Arrival>,
    keyring: Keyring,
    pictures: u64,
    input: Input,
    output: Publishers,
    pending: Vec<Output>,
    /// When diagnostics were published last.
    reported: Option<Stamp>,
}

struct Input {
    picture: Subscriber<CameraImage>,
    segmentation: Subscriber<Segmentation>,
    findings: Subscriber<Findings>,
    scene: Subscriber<Scene>,
    proposal: Subscriber<Proposal>,
    withdrawal: Subscriber<Withdrawal>,
    safety: Subscriber<SafetyState>,
    verdict: Subscriber<Verdict>,
    zones: Subscriber<ZonesState>,
    diagnostics: Subscriber<Diagnostics>,
    arms: [(Subscriber<ArmJoints>, Subscriber<ArmStatus>); 3],
}

struct Publishers {
    decision: Publisher<Sealed<Decision>>,
    presence: Publisher<Sealed<Presence>>,
    request: Publisher<Sealed<OperatorRequest>>,
    e_stop: Publisher<Sealed<OperatorRequest>>,
    skill: Publisher<SkillRequest>,
    diagnostics: Publisher<Diagnostics>,
}

impl ConsoleNode {
    /// Subscribes and publishes on `bus`; seals what operators say with keys from `root`, which the safety node must share. Nobody
    /// can log in until [`Shared::add_token`] was called.
    pub fn new(bus: &Bus, params: ConsoleParams, root: RootSecret) -> Result<Self, ConsoleError> {
        params.validate()?;
        // Refuses unknown instruments now rather than at the first poll.
        Station::new(Stamp::FIRST, &params)?;
        let arm = |a: ArmId| -> Result<_, BusError> {
            Ok((bus.subscriber_of_depth(&graph::measured_js(a), 1)?, bus.subscriber(&graph::operating_state(a))?))
        };
        let [psm1, psm2, ecm] = ArmId::ALL;
        let (shared, clients) = Shared::new(params.clone());
        Ok(Self {
            station: None,
            params,
            shared,
            clients,
            keyring: Keyring::new(root),
            pictures: 0,
            input: Input {
                picture: bus.subscriber_of_depth(&graph::image_left(), 1)?,
                segmentation: bus.subscriber_of_depth(&graph::segmentation(), 1)?,
                findings: bus.subscriber(&graph::findings())?,
                scene: bus.subscriber_of_depth(&graph::scene(), 1)?,
                proposal: bus.subscriber(&graph::proposal())?,
                withdrawal: bus.subscriber(&graph::withdrawal())?,
                safety: bus.subscriber_of_depth(&graph::safety_state(), BATCH)?,
                verdict: bus.subscriber_of_depth(&graph::verdict(), BATCH)?,
                zones: bus.subscriber(&graph::zones_state())?,
                diagnostics: bus.subscriber(&graph::diagnostics())?,
                arms: [arm(psm1)?, arm(psm2)?, arm(ecm)?],
            },
            output: Publishers {
                decision: bus.publisher(&graph::decision())?,
                presence: bus.publisher(&graph::presence())?,
                request: bus.publisher(&graph::request())?,
                e_stop: bus.publisher(&graph::e_stop())?,
                skill: bus.publisher(&graph::skill_request())?,
                diagnostics: bus.publisher(&graph::diagnostics())?,
            },
            pending: Vec::new(),
            reported: None,
        })
    }

    /// What the server needs.
    pub fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }
}

impl Node for ConsoleNode {
    fn name(&self) -> &'static str {
        "console"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn urgency(&self) -> Urgency {
        Urgency::Prompt
    }

    fn poll(&mut self, now: Stamp) {
        if self.station.is_none() {
            // Cannot fail: the same parameters were accepted in `new`.
            self.station = Station::new(now, &self.params).ok();
        }
        let Some(station) = &mut self.station else { return };
        let out = &mut self.pending;

        // Whoever wants to stop comes first.
        if let Some(operator) = self.shared.take_e_stop() {
            station.client(now, e_stop(now, operator), out);
        }
        self.output.publish(out, &self.keyring, boot(station));

        self.input.drain(now, station, &mut self.pictures);
        let instant = Instant::now();
        for _ in 0..crate::shared::MAX_EVENTS {
            let Ok(arrival) = self.clients.try_recv() else { break };
            self.keyring.admit(&arrival.session, now.plus(self.shared.left(&arrival.session, instant)));
            station.client(now, arrival.event(now, instant), out);
        }
        station.tick(now, out);
        self.output.publish(out, &self.keyring, boot(station));

        if self.reported.is_none_or(|last| now.seconds_since(last) >= REPORT_SECONDS) {
            self.reported = Some(now);
            if let Err(error) = self.output.diagnostics.publish(&station.latest.latency.diagnostics(now)) {
                tracing::warn!(%error, "diagnostics not published");
            }
        }
        if self.shared.clients() == 0 {
            return;
        }
        if let Some(view) = station.view(now) {
            self.shared.view.send_replace(view.into());
        }
        let video = station.video(now);
        let slots = [&self.shared.picture, &self.shared.labels, &self.shared.regions];
        for (slot, message) in slots.into_iter().zip([video.picture, video.labels, video.regions]) {
            if let Some(message) = message {
                slot.send_replace(message.into());
            }
        }
    }
}

impl Input {
    fn drain(&mut self, now: Stamp, station: &mut Station, pictures: &mut u64) {
        if let Some(p) = self.picture.newest() {
            *pictures += 1;
            station.picture(now, *pictures, p.stamp, p.image);
        }
        if let Some(s) = self.segmentation.newest() {
            station.segmentation(now, s);
        }
        let latest = &mut station.latest;
        each(&self.findings, |f| latest.findings.hear(now, f));
        if let Some(scene) = self.scene.newest() {
            latest.scene(now, scene);
        }
        for (arm, (joints, status)) in ArmId::ALL.into_iter().zip(&mut self.arms) {
            if let Some(joints) = joints.newest() {
                latest.arm(now, joints);
            }
            if let Some(status) = status.newest() {
                latest.status[arm.index()] = Some(status);
            }
        }
        each(&self.diagnostics, |d| latest.diagnostics(now, &d));
        // Zones before the verdicts that number them.
        if let Some(zones) = self.zones.newest() {
            latest.zones(now, zones);
        }
        // Proposals before what ends them; the safety state last, since it speaks about all of these.
        each(&self.proposal, |p| latest.cards.offer(now, p));
        each(&self.withdrawal, |w| latest.cards.withdraw(now, w.digest));
        each(&self.verdict, |v| latest.verdict(now, &v));
        each(&self.safety, |s| latest.safety(now, s));
    }
}

impl Publishers {
    /// Seals, publishes and empties `out`. What the bus refuses is said: the operator's word must not vanish silently.
    fn publish(&self, out: &mut Vec<Output>, keys: &Keyring, boot: Boot) {
        for output in out.drain(..) {
            let done = match output {
                Output::Decision(d) => self.decision.publish(&keys.seal(boot, d)),
                Output::Presence(p) => self.presence.publish(&keys.seal(boot, p)),
                Output::Request(r) if r.kind == RequestKind::EStop => self.e_stop.publish(&keys.seal(boot, r)),
                Output::Request(r) => self.request.publish(&keys.seal(boot, r)),
                Output::Skill(s) => self.skill.publish(&s),
            };
            if let Err(error) = done {
                tracing::error!(%error, ?output, "not published");
            }
        }
    }
}

impl Arrival {
    /// The event, stamped with when it was read, which is before `now` by however long it waited.
    fn event(self, now: Stamp, instant: Instant) -> Event {
        let at = now.minus(instant.saturating_duration_since(self.at));
        Event { at, conn: self.conn, operator: self.session.operator, role: self.session.role, what: self.what }
    }
}

/// Which start of the safety node speaks at present; nobody's before it was heard, and then only an e-stop counts.
fn boot(station: &Station) -> Boot {
    station.latest.safety.as_ref().map_or(Boot::default(), |s| s.value.boot)
}

fn e_stop(now: Stamp, operator: OperatorId) -> Event {
    let what = Happening::Said(ClientMessage::Request { what: RequestKind::EStop });
    // The e-stop is taken from everybody: neither connection nor role matter.
    Event { at: now, conn: 0, operator, role: operator.role(), what }
}

fn each<T: Wire>(subscriber: &Subscriber<T>, mut then: impl FnMut(T)) {
    for _ in 0..BATCH {
        match subscriber.take() {
            Some(Ok(value)) => then(value),
            Some(Err(error)) => tracing::warn!(%error, "message refused"),
            None => return,
        }
    }
}
