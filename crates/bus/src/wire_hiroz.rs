//! The ROS 2 backend: hiroz (ROS 2 in Rust over Zenoh, on the wire with rmw_zenoh).

mod lifecycle;

pub(crate) use lifecycle::LifecycleServices;

use crate::{
    Announced, BusError, HirozConfig, Parameter, ParameterValue, Parameters, RosArgs, Settable,
    graph::{self, Qos, Topic},
    parameters::{Accept, NOT_YET},
};
use hiroz::{
    Builder,
    attachment::Attachment,
    context::ZContextBuilder,
    entity::{EndpointKind, Entity},
    msg::NativeCdrSerdes,
    node::ZNode,
    parameter::{self, SetParametersResult},
    pubsub::ZPub,
    qos::{QosDurability, QosHistory, QosProfile, QosReliability},
};
use hiroz_msgs::ros::std_msgs::Empty;
use proctor_msgs::{
    Message,
    cdr::{Layout, MAX_PAYLOAD, Payload},
    registry::Entry,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::Display,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// One Zenoh session with one ROS node on it.
pub(crate) struct Session {
    node: ZNode,
    /// Whether it has services: a session file's access control knows topics only.
    services: bool,
    name: String,
    ros: RosArgs,
    /// What takes new parameters, once there is such.
    accept: Arc<OnceLock<Box<Accept>>>,
}

fn failed(what: impl Display, reason: impl Display) -> BusError {
    BusError::Middleware { what: what.to_string(), reason: reason.to_string() }
}

impl Session {
    pub(crate) fn open(config: &HirozConfig) -> Result<Self, BusError> {
        let context = ZContextBuilder::default()
            .with_domain_id(config.domain_id)
            .disable_multicast_scouting()
            .with_json("transport/link/rx/max_message_size", MAX_PAYLOAD)
            .with_json("qos/publication", waits_for_nobody())
            .with_json("qos/network", pictures_come_last(config));
        let context = match &config.session {
            Some(file) => {
                crate::router::check_session(file)?;
                context.with_config_file(file)
            }
            None => context
                .with_mode(config.mode.zenoh_name())
                .with_listen_endpoints(config.listen.iter().cloned())
                .with_connect_endpoints(config.connect.iter().cloned())
                // Peers tell each other of peers: whoever reaches one of them reaches all, without a router.
                .with_json(
                    "scouting/gossip/target",
                    BTreeMap::from(["router", "peer"].map(|tells| (tells, ["router", "peer"]))),
                ),
        };
        let context = context.build().map_err(|e| failed("opening the Zenoh session", e))?;
        let (name, ros) = (config.node_name.clone(), config.ros.clone());
        let node = context.create_node(&name).with_namespace(ros.namespace.as_deref().unwrap_or("/"));
        let services = config.session.is_none();
        let shown = services && config.parameters != Parameters::default();
        let node = if shown { node } else { node.without_parameters() };
        let node = node.build().map_err(|e| failed(format!("creating the node {name}"), e))?;
        let accept: Arc<OnceLock<Box<Accept>>> = Arc::default();
        let taker = accept.clone();
        // Before the first is declared: hiroz takes what nobody refuses. It has seen to type and range itself.
        node.on_set_parameters(move |asked| {
            let taken = asked_of_us(asked).and_then(|asked| taker.get().ok_or(NOT_YET)?(&asked));
            taken.map_or_else(SetParametersResult::failure, |()| SetParametersResult::success())
        });
        for parameter in config.parameters.iter().filter(|_| shown) {
            let declared = node.declare_parameter(&parameter.name, value(&parameter.value), descriptor(parameter));
            declared.map_err(|e| failed(format!("declaring the parameter {}", parameter.name), e))?;
        }
        Ok(Self { node, services, name, ros, accept })
    }

    pub(crate) fn accept_parameters(&self, accept: Box<Accept>) {
        // The first one holds.
        _ = self.accept.set(accept);
    }

    /// The services of the node's lifecycle, where services are.
    pub(crate) fn lifecycle(&self) -> Result<Option<LifecycleServices>, BusError> {
        self.services.then(|| LifecycleServices::offer(&self.node)).transpose()
    }

    /// The topic's name after namespace and remappings.
    fn resolved(&self, topic: &Topic) -> String {
        self.ros.resolve(&self.name, &topic.name, topic.is_global())
    }

    /// Endpoints of other sessions, as their liveliness tokens tell.
    pub(crate) fn announced(&self, name: &str) -> Announced {
        let graph = self.node.graph();
        let types = |kind| {
            let others = graph.get_entities_by_topic(kind, name).into_iter().filter(|e| !graph.is_entity_local(e));
            let types = others.filter_map(|e| match &*e {
                Entity::Endpoint(e) => Some(e.type_info.as_ref().map_or_else(String::new, |t| ros_type(&t.name))),
                Entity::Node(_) => None,
            });
            types.collect()
        };
        Announced { writers: types(EndpointKind::Publisher), readers: types(EndpointKind::Subscription) }
    }

    pub(crate) fn publisher<M: Message>(&self, topic: &Topic) -> Result<HirozPublisher<M>, BusError> {
        let publisher = self.node.create_pub_impl::<M>(&self.resolved(topic), Some(M::type_info()));
        let publisher = publisher.with_serdes::<NativeCdrSerdes<M>>().with_qos(profile(topic.qos, topic.qos.depth));
        let inner = publisher.build().map_err(|e| failed(format!("publishing {}", topic.name), e))?;
        Ok(HirozPublisher { inner, topic: topic.name.to_string() })
    }

    pub(crate) fn subscriber(&self, topic: &Topic, depth: usize, entry: Entry) -> Result<HirozSubscriber, BusError> {
        // The type parameter does not matter: samples are taken raw and decoded by us.
        let subscriber = self
            .node
            .create_sub_impl::<Empty>(&self.resolved(topic), Some(entry.type_info))
            .with_buffer_group(hiroz::BufferGroup::Off)
            .with_qos(profile(topic.qos, depth))
            .build()
            .map_err(|e| failed(format!("subscribing to {}", topic.name), e))?;
        let queue = subscriber.queue.clone().ok_or_else(|| failed("subscribing", "no queue"))?;
        let waiting = queue.clone();
        let next = move |see: &mut See<'_>| {
            // The subscription lives as long as this closure.
            let _alive = &subscriber;
            let Some(sample) = queue.try_recv() else { return false };
            let attachment = sample.attachment().and_then(|a| Attachment::try_from(a).ok());
            let from = attachment.map(|a| From { publisher: a.source_gid, seq: a.sequence_number });
            see(&Payload::gather(sample.payload().clone()), from);
            true
        };
        Ok(HirozSubscriber {
            layout: entry.layout,
            len: Box::new(move || waiting.len()),
            next: Box::new(next),
            last: Mutex::new(None),
            dropped: AtomicU64::new(0),
            received: AtomicU64::new(0),
        })
    }
}

/// A reader that stalls loses messages and keeps nobody waiting, as with rmw_zenoh, whose writers wait for readers of `KEEP_ALL` only; hiroz's would wait
/// for every reliable reader, for a minute. Whatever the topic is called.
fn waits_for_nobody() -> Value {
    json!([{ "key_exprs": ["**"], "config": { "congestion_control": "drop" } }])
}

/// What holds pixels comes after everything else.
fn pictures_come_last(config: &HirozConfig) -> Value {
    let key = |topic: &Topic| {
        let name = config.ros.resolve(&config.node_name, &topic.name, topic.is_global());
        format!("{}{name}/**", config.domain_id)
    };
    let keys: Vec<_> = graph::all().iter().filter(|t| t.is_bulky()).map(key).collect();
    json!([{
        "id": "pictures",
        "flows": ["egress"],
        "messages": ["put"],
        "key_exprs": keys,
        "overwrite": { "priority": "data_low" },
    }])
}

fn value(of: &ParameterValue) -> parameter::ParameterValue {
    use parameter::ParameterValue as Hiroz;
    match of.clone() {
        ParameterValue::Bool(v) => Hiroz::Bool(v),
        ParameterValue::Integer(v) => Hiroz::Integer(v),
        ParameterValue::Double(v) => Hiroz::Double(v),
        ParameterValue::String(v) => Hiroz::String(v),
        ParameterValue::IntegerArray(v) => Hiroz::IntegerArray(v),
        ParameterValue::DoubleArray(v) => Hiroz::DoubleArray(v),
        ParameterValue::StringArray(v) => Hiroz::StringArray(v),
    }
}

fn asked_of_us(asked: &[parameter::Parameter]) -> Result<Vec<(String, ParameterValue)>, String> {
    use parameter::ParameterValue as Hiroz;
    let each = asked.iter().map(|p| {
        let value = match p.value.clone() {
            Hiroz::Bool(v) => ParameterValue::Bool(v),
            Hiroz::Integer(v) => ParameterValue::Integer(v),
            Hiroz::Double(v) => ParameterValue::Double(v),
            Hiroz::String(v) => ParameterValue::String(v),
            Hiroz::IntegerArray(v) => ParameterValue::IntegerArray(v),
            Hiroz::DoubleArray(v) => ParameterValue::DoubleArray(v),
            Hiroz::StringArray(v) => ParameterValue::StringArray(v),
            Hiroz::NotSet | Hiroz::ByteArray(_) | Hiroz::BoolArray(_) => {
                return Err(format!("{}: no parameter has such a value", p.name));
            }
        };
        Ok((p.name.clone(), value))
    });
    each.collect()
}

fn descriptor(of: &Parameter) -> parameter::ParameterDescriptor {
    let range =
        of.range.map(|[from_value, to_value]| parameter::FloatingPointRange { from_value, to_value, step: 0.0 });
    let whole = matches!(of.value, ParameterValue::Integer(_));
    let integer = |r: &parameter::FloatingPointRange| {
        let (from_value, to_value) = (r.from_value as i64, r.to_value as i64);
        parameter::IntegerRange { from_value, to_value, step: 1 }
    };
    parameter::ParameterDescriptor {
        description: of.text.clone(),
        additional_constraints: of.settable.text().to_owned(),
        read_only: of.settable == Settable::AtStart,
        integer_range: range.as_ref().filter(|_| whole).map(integer),
        floating_point_range: range.filter(|_| !whole),
        ..parameter::ParameterDescriptor::new(&of.name, value(&of.value).parameter_type())
    }
}

/// `sensor_msgs::msg::dds_::JointState_` as ROS writes it.
fn ros_type(dds: &str) -> String {
    dds.replace("::dds_::", "::").trim_end_matches('_').replace("::", "/")
}

fn profile(qos: Qos, depth: usize) -> QosProfile {
    QosProfile {
        reliability: if qos.reliable { QosReliability::Reliable } else { QosReliability::BestEffort },
        durability: if qos.latched { QosDurability::TransientLocal } else { QosDurability::Volatile },
        history: QosHistory::KeepLast(NonZeroUsize::new(depth).unwrap_or(NonZeroUsize::MIN)),
        ..QosProfile::default()
    }
}

pub(crate) struct HirozPublisher<M: Message> {
    inner: ZPub<M, NativeCdrSerdes<M>>,
    topic: String,
}

impl<M: Message> HirozPublisher<M> {
    pub(crate) fn publish(&self, message: &M) -> Result<(), BusError> {
        self.inner.publish(message).map_err(|e| failed(format!("publishing on {}", self.topic), e))
    }
}

/// Where a sample comes from, by its attachment.
#[derive(Clone, Copy)]
struct From {
    publisher: [u8; 16],
    seq: i64,
}

type See<'a> = dyn FnMut(&Payload, Option<From>) + 'a;

/// A subscription whose samples are looked at as bytes. hiroz's queue drops its oldest sample when full, without
/// counting; so losses, there and on the way, are counted by the gaps in the publisher's running numbers.
pub(crate) struct HirozSubscriber {
    layout: Layout,
    len: Box<dyn Fn() -> usize + Send + Sync>,
    next: Box<dyn Fn(&mut See<'_>) -> bool + Send + Sync>,
    last: Mutex<Option<From>>,
    dropped: AtomicU64,
    received: AtomicU64,
}

impl HirozSubscriber {
    pub(crate) fn len(&self) -> usize {
        (self.len)()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Shows the oldest waiting sample to `look`.
    pub(crate) fn take<R>(&self, look: impl FnOnce(&Layout, &Payload, u64) -> R) -> Option<R> {
        let mut look = Some(look);
        let mut result = None;
        (self.next)(&mut |bytes, from| {
            let seq = self.count(from);
            result = look.take().map(|look| look(&self.layout, bytes, seq));
        });
        result
    }

    /// Counts a sample and what was lost before it; its number is the publisher's, or our own count without one.
    fn count(&self, from: Option<From>) -> u64 {
        let received = self.received.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(from) = from else { return received };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = last.filter(|l| l.publisher == from.publisher) {
            let gap = from.seq.saturating_sub(before.seq).saturating_sub(1).max(0);
            self.dropped.fetch_add(gap.unsigned_abs(), Ordering::Relaxed);
        }
        *last = Some(from);
        from.seq.max(0).unsigned_abs()
    }
}
