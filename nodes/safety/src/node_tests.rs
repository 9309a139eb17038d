use super::*;
use proctor_seal::{RootSecret, SessionKey};
use proctor_types::{Boot, Digest, Joints, OperatorId, ProposalId, SessionId};

const BOOT: Boot = Boot(3);
const PSM1: Option<ArmId> = Some(ArmId::Psm1);

fn at(ms: i64) -> Stamp {
    Stamp::from_nanos("t", 1_000_000_000 + ms * 1_000_000).unwrap()
}

fn root() -> RootSecret {
    RootSecret::from_bytes([3; 32])
}

fn comms(bus: &Bus) -> Comms {
    let params = SafetyParams::default();
    halves(bus, params, Verifier::new(root(), BOOT)).unwrap().0
}

/// Bytes that are no message.
fn garble(bus: &Bus, topic: &graph::Topic) {
    bus.raw_publisher(topic).unwrap().publish(vec![0, 1, 0, 0]);
}

fn request(seq: u64, kind: RequestKind) -> OperatorRequest {
    OperatorRequest { stamp: at(0), seq, operator: OperatorId(1), kind }
}

fn key() -> SessionKey {
    SessionKey::new(&root(), OperatorId(1), SessionId([1; 16]), at(3_600_000))
}

fn withdrawal(id: u64) -> Withdrawal {
    Withdrawal { stamp: at(0), proposal: ProposalId(id), digest: Digest::default() }
}

/// Everything that waits, where there is room for all of it.
fn all(comms: &mut Comms) -> Vec<Event> {
    some(comms, usize::MAX)
}

/// What is taken where there is room for `room` events (at least one); asserts that nothing is taken for which there is none.
fn some(comms: &mut Comms, room: usize) -> Vec<Event> {
    let mut taken = Vec::new();
    comms.collect(&mut |event| {
        assert!(taken.len() < room, "no room for {event:?} after {taken:?}");
        taken.push(event);
        taken.len() < room
    });
    taken
}

/// What an event is, in a word; of a refused message, whose.
fn word(event: &Event) -> String {
    match event {
        Event::Refused(Finding { arm, constraint: Constraint::Malformed, value, limit, index }) => {
            assert_eq!((*value, *limit, *index), (0.0, 0.0, -1));
            format!("malformed {arm:?}")
        }
        Event::Refused(f) => format!("{:?} of {}", f.constraint, f.value),
        Event::Withdrawal(w) => format!("withdrawal {}", w.proposal.0),
        Event::Request(r) => format!("request {}", r.seq),
        Event::Joints(j) => format!("joints {}", j.stamp.seconds_since(at(0)).round()),
        other => format!("{other:?}"),
    }
}

fn words(events: &[Event]) -> Vec<String> {
    events.iter().map(word).collect()
}

/// One unreadable message on everything that the node hears, in the order in which it listens.
fn topics() -> Vec<(graph::Topic, Option<ArmId>)> {
    use graph::*;
    let mut all = vec![(e_stop(), None), (request(), None), (presence(), None), (withdrawal(), None)];
    for arm in ArmId::ALL {
        let jaw = arm.has_jaw();
        all.extend(jaw.then(|| (jaw_measured_js(arm), Some(arm))));
        let each = [measured_js(arm), measured_cf(arm), operating_state(arm), teleop_servo_jp(arm)];
        all.extend(each.map(|topic| (topic, Some(arm))));
        all.extend(jaw.then(|| (teleop_jaw(arm), Some(arm))));
    }
    all.extend([(scene(), None), (proposal(), None), (decision(), None)]);
    all
}

#[test]
fn everything_is_heard_in_its_order_and_what_finds_no_room_waits() {
    let topics = topics();
    let expected: Vec<String> = (topics.iter().enumerate())
        .map(|(i, (_, arm))| if i == 0 { "EStop".to_owned() } else { format!("malformed {arm:?}") })
        .collect();
    for room in 1..=topics.len() + 1 {
        let bus = Bus::memory();
        let mut comms = comms(&bus);
        topics.iter().for_each(|(topic, _)| garble(&bus, topic));
        let (mut rounds, mut taken) = (0, Vec::new());
        while taken.len() < expected.len() {
            taken.extend(some(&mut comms, room));
            rounds += 1;
        }
        assert_eq!(words(&taken), expected, "room for {room}");
        assert_eq!(rounds, expected.len().div_ceil(room), "room for {room}");
        assert!(all(&mut comms).is_empty());
    }
}

#[test]
fn of_what_an_arm_says_the_newest_counts_and_one_refusal() {
    let bus = Bus::memory();
    let mut comms = comms(&bus);
    let topic = graph::measured_js(ArmId::Psm1);
    let says = bus.publisher::<ArmJoints>(&topic).unwrap();
    let position = Joints::zeros(ArmId::Psm1.dof());
    for second in 0..3 {
        let stamp = at(1000 * second);
        says.publish(&ArmJoints { arm: ArmId::Psm1, stamp, position, velocity: position }).unwrap();
        garble(&bus, &topic);
    }
    let taken = all(&mut comms);
    assert_eq!(words(&taken), [format!("malformed {PSM1:?}"), "joints 2".to_owned()]);
    assert!(all(&mut comms).is_empty());
}

#[test]
fn words_are_taken_in_order_a_batch_at_a_time() {
    let bus = Bus::memory();
    let mut comms = comms(&bus);
    let says = bus.publisher::<Withdrawal>(&graph::withdrawal()).unwrap();
    (0..20).for_each(|id| says.publish(&withdrawal(id)).unwrap());
    let expected: Vec<String> = (0..20).map(|id| format!("withdrawal {id}")).collect();
    assert_eq!(words(&all(&mut comms)), expected[..BATCH]);
    assert_eq!(words(&all(&mut comms)), expected[BATCH..]);
}

#[test]
fn of_a_flood_of_forged_requests_a_batch_is_refused_and_none_that_is_sealed_is_lost() {
    let bus = Bus::memory();
    let mut comms = comms(&bus);
    let says = bus.publisher::<Sealed<OperatorRequest>>(&graph::request()).unwrap();
    let forged = |n| (0..n).for_each(|seq| says.publish(&Sealed::bare(request(seq, RequestKind::Disable))).unwrap());
    forged(30);
    says.publish(&key().seal(BOOT, request(7, RequestKind::Enable))).unwrap();
    forged(2);
    says.publish(&Sealed::bare(request(9, RequestKind::EStop))).unwrap();
    says.publish(&key().seal(Boot(4), request(8, RequestKind::Enable))).unwrap();
    let mut expected = vec!["NotAuthentic of 1".to_owned(); BATCH];
    expected.extend(["request 7", "EStop"].map(str::to_owned));
    assert_eq!(words(&all(&mut comms)), expected);
    says.publish(&key().seal(Boot(4), request(8, RequestKind::Enable))).unwrap();
    assert_eq!(words(&all(&mut comms)), ["CrossSession of 1"]);
}

#[test]
fn a_proposal_that_comes_with_its_approval_is_known_before_it() {
    let places = topics();
    let place = |topic: graph::Topic| places.iter().position(|(at, _)| at.name == topic.name).unwrap();
    assert!(place(graph::proposal()) < place(graph::decision()));
    let bus = Bus::memory();
    let mut comms = comms(&bus);
    // One proposal is prepared at a time, however many there are.
    (0..3).for_each(|_| garble(&bus, &graph::proposal()));
    for _ in 0..3 {
        assert_eq!(words(&all(&mut comms)), ["malformed None"]);
    }
    assert!(all(&mut comms).is_empty());
}

#[test]
fn failures_to_publish_are_counted_and_said_now_and_then() {
    let mut comms = comms(&Bus::memory());
    comms.note(Ok(()));
    assert_eq!(comms.failed, 0);
    for n in 1..=2 {
        comms.note(Err(BusError::Config { field: "x", value: "y".to_owned(), expected: "z" }));
        assert_eq!(comms.failed, n);
    }
    let said: Vec<u64> = (1..=2500).filter(|&n| worth_saying(n)).collect();
    assert_eq!(said, [1, 1001, 2001]);
}

#[test]
fn an_arm_is_asked_under_a_seal() {
    let bus = Bus::memory();
    let mut comms = comms(&bus);
    let heard = bus.subscriber::<ToArm<StateCommand>>(&graph::state_command(ArmId::Psm2)).unwrap();
    let mut out = Output::default();
    let asked = StateCommand { arm: ArmId::Psm2, stamp: at(5), request: proctor_types::StateRequest::Enable };
    out.arm_requests.push(asked);
    comms.publish(&mut out);
    let got = heard.take().unwrap().unwrap();
    assert_eq!(got.body, asked);
    assert!(heard.take().is_none());
}

#[test]
fn the_node_says_how_it_fares_every_second_and_at_once_when_its_clock_is_set_back() {
    let bus = Bus::memory();
    let mut comms = comms(&bus);
    let heard = bus.subscriber::<Diagnostics>(&graph::diagnostics()).unwrap();
    let mut says = |ms| {
        comms.report(at(ms), None);
        heard.take().is_some()
    };
    assert!(says(0));
    assert!(!says(0) && !says(999), "a second has not passed");
    assert!(says(1000));
    assert!(!says(1000), "said just now");
    assert!(says(500), "the clock was set back");
    assert!(!says(501));
}

#[test]
fn in_shadow_mode_nobody_is_heard_who_could_change_what_the_node_is() {
    let bus = Bus::memory();
    let mut node = SafetyNode::shadow(&bus, SafetyParams::default(), Intent::ServoJp).unwrap();
    for topic in [graph::request(), graph::presence(), graph::decision()] {
        garble(&bus, &topic);
    }
    assert!(all(&mut node.comms).is_empty());
    // Commands are passed over until it judges, and heard then.
    let commands = || {
        garble(&bus, &graph::servo_jp(ArmId::Psm1));
        garble(&bus, &graph::jaw_servo_jp(ArmId::Psm1));
    };
    commands();
    assert!(all(&mut node.comms).is_empty());
    let mut state = SafetyCore::new(SafetyParams::default()).unwrap().step(at(0), &mut Events::new()).state.unwrap();
    state.mode = SafetyMode::Ready;
    node.comms.said = Some(state);
    commands();
    assert!(all(&mut node.comms).is_empty());
    state.mode = SafetyMode::Teleop;
    node.comms.said = Some(state);
    assert!(all(&mut node.comms).is_empty(), "what was said before is gone");
    commands();
    assert_eq!(words(&all(&mut node.comms)), [format!("malformed {PSM1:?}"), format!("malformed {PSM1:?}")]);
    assert!(node.may_pause(), "nothing is its to stop");
}

#[test]
fn only_what_the_understudy_is_refused_is_kept_quiet() {
    let said = |arm, outcome| {
        let constraint = Constraint::WrongMode;
        is_of_others(&mut Verdict {
            stamp: at(0),
            tick: 0,
            arm,
            outcome,
            constraint,
            value: 0.0,
            limit: 0.0,
            index: -1,
        })
    };
    assert!(!said(None, Outcome::Refused));
    assert!(said(None, Outcome::Held) && said(PSM1, Outcome::Refused) && said(PSM1, Outcome::Held));
}

#[test]
fn a_gate_hears_commands_in_every_mode() {
    let bus = Bus::memory();
    let mut comms = comms(&bus);
    garble(&bus, &graph::teleop_servo_jp(ArmId::Psm1));
    assert_eq!(all(&mut comms).len(), 1, "the core says why it does not follow");
}

#[test]
fn it_is_called_safety_and_polled_every_tick() {
    let node = SafetyNode::new(&Bus::memory(), SafetyParams::default(), Verifier::new(root(), BOOT)).unwrap();
    assert_eq!((node.name(), node.period(), node.urgency()), ("safety", crate::PERIOD, Urgency::Prompt));
    assert!(node.may_pause());
}

/// A core that takes nothing: what was said meanwhile is heard when it goes on, an e-stop first.
#[test]
fn nothing_is_lost_while_the_core_hangs() {
    let bus = Bus::memory();
    let (events, mut hangs) = rtrb::RingBuffer::new(2);
    let mut node = SafetyNode { comms: comms(&bus), half: Half::Split(realtime::Link::of(events)) };
    let says = bus.publisher::<Withdrawal>(&graph::withdrawal()).unwrap();
    (0..3).for_each(|id| says.publish(&withdrawal(id)).unwrap());
    node.poll(at(0));
    garble(&bus, &graph::e_stop());
    (1..5).for_each(|ms| node.poll(at(ms)));
    let mut heard = || std::iter::from_fn(|| hangs.pop().ok()).collect::<Vec<_>>();
    assert_eq!(words(&heard()), ["withdrawal 0", "withdrawal 1"]);
    node.poll(at(5));
    assert_eq!(words(&heard()), ["EStop", "withdrawal 2"]);
}
