//! Facts about the autonomy node, tested through its one function `step`.

#[path = "facts/bench.rs"]
mod bench;
#[path = "facts/centre.rs"]
mod centre;
#[path = "facts/hostile.rs"]
mod hostile;
#[path = "facts/life.rs"]
mod life;
#[path = "facts/node.rs"]
mod node;
#[path = "facts/retract.rs"]
mod retract;
