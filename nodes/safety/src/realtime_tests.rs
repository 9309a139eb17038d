use super::*;
use crate::{Finding, SafetyParams};
use proctor_types::Constraint;
use std::sync::atomic::Ordering::SeqCst;

fn at(ms: u64) -> Stamp {
    Stamp::from_nanos("t", 1_000_000_000 + ms as i64 * 1_000_000).unwrap()
}

fn core() -> SafetyCore {
    SafetyCore::new(SafetyParams::default()).unwrap()
}

/// A clock that moves a tick on at each reading, and ends the thread, or panics, at the `last`.
fn clock(last: u64, panics: bool) -> Options {
    let (read, stop) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
    let ends = stop.clone();
    let clock = Box::new(move || {
        let tick = read.fetch_add(1, SeqCst) + 1;
        assert!(!panics || tick < last, "on purpose");
        ends.store(tick >= last, SeqCst);
        at(tick)
    });
    Options { clock, stop, priority: None, lock_memory: false }
}

fn refusal(constraint: Constraint) -> Event {
    Event::Refused(Finding::node(constraint, 0.0, 0.0))
}

#[test]
fn ticks_that_are_late_or_long_are_told_apart() {
    let h = Health::default();
    let read = || [&h.ticks, &h.late, &h.overruns, &h.longest_ns, &h.latest_ns].map(|n| n.load(SeqCst));
    let ns = Duration::from_nanos(1);
    h.note(PERIOD, LATE);
    assert_eq!(read(), [1, 0, 0, 1_000_000, 1_000_000], "just in time is in time");
    h.note(PERIOD + ns, Duration::ZERO);
    assert_eq!(read(), [2, 0, 1, 1_000_001, 1_000_000]);
    h.note(ns, LATE + ns);
    assert_eq!(read(), [3, 1, 2, 1_000_001, 1_000_001]);
    h.note(ns, LATE + ns);
    assert_eq!(read(), [4, 2, 3, 1_000_001, 1_000_001]);
    assert_eq!(h.timing.take().longest_ns, 1_000_001);
}

#[test]
fn ticks_are_a_period_apart_and_end_when_told() {
    let (_events, incoming) = RingBuffer::new(EVENTS);
    let (outgoing, _outputs) = RingBuffer::new(OUTPUTS);
    let (h, o, began) = (Health::default(), clock(4, false), Instant::now());
    run(&mut core(), incoming, outgoing, &o, &h);
    assert_eq!(h.ticks.load(SeqCst), 4);
    assert!(began.elapsed() >= 4 * PERIOD, "less than four periods for four ticks");
}

#[test]
fn what_is_handed_in_is_answered_in_order_however_much_it_is() {
    let (mut events, incoming) = RingBuffer::new(EVENTS);
    let (outgoing, mut outputs) = RingBuffer::new(OUTPUTS);
    // More than one tick takes.
    for i in 0..2 * crate::MAX_EVENTS {
        let what = if i % 2 == 0 { Constraint::Malformed } else { Constraint::NotAuthentic };
        events.push(refusal(what)).unwrap();
    }
    let h = Health::default();
    run(&mut core(), incoming, outgoing, &clock(3, false), &h);
    assert_eq!(events.slots(), EVENTS, "all were taken");
    let mut said = Vec::new();
    while let Ok(message) = outputs.pop() {
        if let Message::Verdict(v) = message {
            said.push((v.stamp, v.constraint));
        }
    }
    assert!(said.is_sorted_by_key(|&(stamp, _)| stamp));
    for constraint in [Constraint::Malformed, Constraint::NotAuthentic] {
        assert!(said.iter().any(|&(_, c)| c == constraint), "{constraint:?}: {said:?}");
    }
    assert_eq!(h.dropped.load(SeqCst), 0);
}

#[test]
fn what_finds_no_room_is_counted() {
    let (_events, incoming) = RingBuffer::new(EVENTS);
    let (outgoing, outputs) = RingBuffer::new(1);
    let h = Health::default();
    run(&mut core(), incoming, outgoing, &clock(200, false), &h);
    assert_eq!(outputs.slots(), 1);
    let enough = Health::default();
    let (_events, incoming) = RingBuffer::new(EVENTS);
    let (outgoing, outputs) = RingBuffer::new(OUTPUTS);
    run(&mut core(), incoming, outgoing, &clock(200, false), &enough);
    assert_eq!(enough.dropped.load(SeqCst), 0);
    assert_eq!(h.dropped.load(SeqCst), outputs.slots() as u64 - 1, "all but one");
}

#[test]
fn a_link_has_room_until_its_ring_is_full() {
    let (events, mut incoming) = RingBuffer::new(2);
    let mut link = Link::of(events);
    assert!(link.has_room());
    assert!(link.push(Event::EStop), "there is room for one more");
    assert!(!link.push(Event::EStop));
    assert!(!link.has_room());
    incoming.pop().unwrap();
    assert!(link.has_room());
}

#[test]
fn the_owner_learns_how_the_thread_ended() {
    for panics in [false, true] {
        let (_link, thread) = start(core(), clock(2, panics)).unwrap();
        let health = thread.health.clone();
        assert_eq!(thread.join(), !panics);
        assert_eq!(health.ticks.load(SeqCst), if panics { 1 } else { 2 });
        assert!(!health.fifo.load(SeqCst) && !health.locked.load(SeqCst), "nobody asked for it");
    }
}

/// The scheduling class and priority of the calling thread, as the kernel says.
fn scheduling() -> (i32, i32) {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields: Vec<i32> =
        stat.rsplit_once(')').unwrap().1.split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
    // Fields 41 and 40 of all; the first here is the third.
    (fields[38], fields[37])
}

/// Asks the system itself whether this thread may have FIFO scheduling.
#[expect(unsafe_code, reason = "there is no safe interface to the scheduler")]
fn may_have_fifo() -> bool {
    let param = libc::sched_param { sched_priority: 1 };
    // SAFETY: `param` outlives the call, which reads it only.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) == 0 }
}

/// Asks the system itself whether this process may lock all its memory.
#[expect(unsafe_code, reason = "there is no safe interface to memory locking")]
fn may_lock() -> bool {
    // SAFETY: takes flags only.
    unsafe {
        libc::mlockall(libc::MCL_FUTURE | libc::MCL_ONFAULT) == 0
            && libc::mlockall(libc::MCL_CURRENT | libc::MCL_ONFAULT) == 0
    }
}

#[test]
fn first_come_first_served_is_granted_where_it_is_permitted_and_given_up_again() {
    for (asked, given) in [(0, 1), (50, 50), (1000, 99)] {
        // In a thread of its own: the next starts as the system starts threads.
        std::thread::scope(|s| {
            s.spawn(|| {
                let granted = ask_for_fifo(asked);
                assert_eq!(scheduling(), if granted { (libc::SCHED_FIFO, given) } else { (libc::SCHED_OTHER, 0) });
                assert_eq!(granted, may_have_fifo());
                take_turns();
                assert_eq!(scheduling(), (libc::SCHED_OTHER, 0));
            });
        });
    }
}

#[test]
fn memory_is_locked_where_that_is_permitted() {
    let locked = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmLck:")).unwrap();
        line.trim_end_matches("kB").trim().parse::<u64>().unwrap()
    };
    let options = || Options { lock_memory: true, priority: Some(1), ..clock(1, false) };
    let (_link, thread) = start(core(), options()).unwrap();
    let health = thread.health.clone();
    assert!(thread.join());
    let granted = health.locked.load(SeqCst);
    let now = locked();
    assert_eq!(granted, now > 0);
    // 64 MiB more, of which other tests may give back some of theirs.
    let later = vec![1_u8; 64 << 20];
    assert_eq!(granted, locked() > now + (32 << 10), "what is asked for later is locked too");
    drop(later);
    assert_eq!(granted, may_lock());
    assert_eq!(health.fifo.load(SeqCst), std::thread::spawn(may_have_fifo).join().unwrap());
}
