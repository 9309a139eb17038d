//! The real-time step allocates nothing and frees nothing, in any mode.
#![allow(clippy::unwrap_used, unsafe_code)]

mod support;

use proctor_safety::{Event, Events, LiveZones, SafetyParams, Zone, ZoneShape};
use proctor_types::{ArmId, SafetyMode};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};
use support::{Cellar, HOME_PSM, MS, running};

thread_local! {
    static COUNTING: Cell<bool> = const { Cell::new(false) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    if COUNTING.try_with(Cell::get).unwrap_or(false) {
        CALLS.with(|c| c.set(c.get() + 1));
    }
}

// SAFETY: defers to the system allocator; counting touches only thread-local cells that need no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(p, layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is passed on.
        unsafe { System.realloc(p, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Heap calls within the core while `c` runs; events are made and outputs dropped outside the count.
fn calls(c: &mut Cellar, ticks: usize, mut before: impl FnMut(&mut Cellar)) -> u64 {
    let mut total = 0;
    for _ in 0..ticks {
        before(c);
        c.now = c.now.plus(MS);
        let mut events = Events::new();
        c.sense(&mut events);
        let room = events.remaining_capacity().min(c.queue.len());
        events.extend(c.queue.drain(..room));
        c.ticks += 1;
        CALLS.set(0);
        COUNTING.set(true);
        let out = c.core.step(c.now, &mut events);
        COUNTING.set(false);
        total += CALLS.get();
        out.spent.clear();
        for s in &out.commands {
            let s = *s.get();
            let slot = c.at.get_mut(s.arm);
            slot[..s.arm.dof()].copy_from_slice(&s.position);
            slot[6] = s.jaw.unwrap_or(0.0);
        }
    }
    total
}

#[test]
fn the_count_counts() {
    COUNTING.set(true);
    CALLS.set(0);
    drop(std::hint::black_box(Vec::<u8>::with_capacity(100)));
    COUNTING.set(false);
    assert_eq!(CALLS.get(), 2);
}

#[test]
fn teleoperation_uses_no_heap() {
    let mut c = Cellar::in_mode(SafetyParams::default(), SafetyMode::Teleop);
    let n = calls(&mut c, 1500, |c| {
        for arm in ArmId::ALL {
            let mut q = *c.at.get(arm);
            q[1] += if c.ticks % 600 < 300 { 0.02 } else { -0.02 };
            c.teleop(arm, &q);
        }
    });
    assert!(c.at.psm1 != HOME_PSM);
    assert_eq!(n, 0);
}

#[test]
fn meshes_and_zones_that_change_use_no_heap() {
    let zone = |at: [f64; 3]| Zone {
        name: "hump".into(),
        margin: 0.001,
        arms: vec![],
        region: ZoneShape::Mesh(support::hump(at, 0.03, 0.01, 40)),
    };
    let near = zone([0.0, 0.0, -0.02]);
    let params = SafetyParams { zones: vec![near.clone()], ..SafetyParams::default() };
    let mut c = Cellar::in_mode(params, SafetyMode::Teleop);
    let n = calls(&mut c, 600, |c| {
        for arm in ArmId::ALL {
            let mut q = *c.at.get(arm);
            q[2] += 0.01;
            c.teleop(arm, &q);
        }
        if c.ticks.is_multiple_of(40) {
            // Through the arms, and away again: the latter is refused.
            let more = [vec![near.clone(), zone([0.0, 0.0, 0.01])], vec![near.clone()]];
            let zones = more[(c.ticks / 40 % 2) as usize].clone();
            c.queue.push(Event::Zones(Box::new(LiveZones::new(c.ticks, zones, *c.core.classes()))));
        }
    });
    assert!(c.at.psm1 != HOME_PSM);
    assert_eq!(n, 0);
}

#[test]
fn a_whole_approved_motion_uses_no_heap() {
    let (mut c, p) = running();
    // Offers, refusals, withdrawals and the end of the motion included.
    let n = calls(&mut c, 2500, |c| {
        if c.ticks.is_multiple_of(50) {
            let q = support::sway(c);
            c.offer(&q);
            c.withdraw(&q);
            c.approve(&p);
        }
    });
    assert_eq!(n, 0);
    c.run(1);
    c.queue.push(Event::EStopLine(true));
    assert_eq!(calls(&mut c, 100, |_| {}), 0);
}
