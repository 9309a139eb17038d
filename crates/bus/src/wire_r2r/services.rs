//! The six parameter services of a ROS node, and `/parameter_events`. (r2r has some of its own; they let anybody set anything.)

use crate::parameters::{Accept, NOT_YET, Parameter, ParameterValue, Parameters, Settable};
use futures_util::{FutureExt, Stream, StreamExt};
use r2r::{
    Node, Publisher, QosProfile, ServiceRequest, WrappedServiceTypeSupport,
    builtin_interfaces::msg::Time,
    rcl_interfaces::{msg, srv},
};
use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

/// Requests answered after one spin, per service.
const BURST: usize = 10;

/// Answers what was asked since the last call.
pub(super) type Answer = Box<dyn FnMut()>;

/// Parameters as they are now, who takes new values, and whom that is told.
struct Shown {
    all: RefCell<Parameters>,
    accept: Arc<OnceLock<Box<Accept>>>,
    events: Publisher<msg::ParameterEvent>,
    node: String,
}

/// Offers the services on the node.
pub(super) fn offer(
    node: &mut Node,
    parameters: Parameters,
    accept: Arc<OnceLock<Box<Accept>>>,
) -> r2r::Result<Vec<Answer>> {
    let shown = Rc::new(Shown {
        all: RefCell::new(parameters),
        accept,
        events: node.create_publisher("/parameter_events", QosProfile::parameter_events())?,
        node: node.fully_qualified_name()?,
    });
    let of = || shown.clone();
    Ok(vec![
        serve::<srv::ListParameters::Service>(node, "list_parameters", {
            let shown = of();
            move |asked| {
                let (names, prefixes) = shown.all.borrow().list(&asked.prefixes, asked.depth);
                srv::ListParameters::Response { result: msg::ListParametersResult { names, prefixes } }
            }
        })?,
        serve::<srv::GetParameters::Service>(node, "get_parameters", {
            let each = each_named(of(), |p| value(&p.value));
            move |asked| srv::GetParameters::Response { values: each(&asked.names) }
        })?,
        serve::<srv::GetParameterTypes::Service>(node, "get_parameter_types", {
            let each = each_named(of(), |p| value(&p.value).type_);
            move |asked| srv::GetParameterTypes::Response { types: each(&asked.names) }
        })?,
        serve::<srv::DescribeParameters::Service>(node, "describe_parameters", {
            let each = each_named(of(), descriptor);
            move |asked| srv::DescribeParameters::Response { descriptors: each(&asked.names) }
        })?,
        serve::<srv::SetParameters::Service>(node, "set_parameters", {
            let shown = of();
            move |asked| srv::SetParameters::Response {
                results: asked.parameters.iter().map(|p| shown.set(std::slice::from_ref(p))).collect(),
            }
        })?,
        serve::<srv::SetParametersAtomically::Service>(node, "set_parameters_atomically", {
            let shown = of();
            move |asked| srv::SetParametersAtomically::Response { result: shown.set(&asked.parameters) }
        })?,
    ])
}

impl Shown {
    /// Sets all of them or none.
    fn set(&self, asked: &[msg::Parameter]) -> msg::SetParametersResult {
        let done = asked.iter().map(ours).collect::<Result<Vec<_>, _>>().and_then(|changes| {
            let accept = self.accept.get().ok_or(NOT_YET)?;
            self.all.borrow_mut().set(&changes, accept)
        });
        if done.is_ok() && !asked.is_empty() {
            let event = msg::ParameterEvent {
                stamp: stamp(),
                node: self.node.clone(),
                changed_parameters: asked.to_vec(),
                ..msg::ParameterEvent::default()
            };
            // Whoever listens may ask for the value; that nobody was told is no reason to undo it.
            if let Err(error) = self.events.publish(&event) {
                tracing::warn!(%error, "a parameter was set, and /parameter_events does not say so");
            }
        }
        msg::SetParametersResult { successful: done.is_ok(), reason: done.err().unwrap_or_default() }
    }
}

fn stamp() -> Time {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time { sec: i32::try_from(now.as_secs()).unwrap_or(i32::MAX), nanosec: now.subsec_nanos() }
}

/// What is said of each parameter that has one of the names; of others what is said of none.
fn each_named<T: Default>(shown: Rc<Shown>, said: impl Fn(&Parameter) -> T) -> impl Fn(&[String]) -> Vec<T> {
    move |names| {
        let all = shown.all.borrow();
        names.iter().map(|name| all.get(name).map(&said).unwrap_or_default()).collect()
    }
}

fn ours(asked: &msg::Parameter) -> Result<(String, ParameterValue), String> {
    let v = asked.value.clone();
    let value = match v.type_ {
        1 => ParameterValue::Bool(v.bool_value),
        2 => ParameterValue::Integer(v.integer_value),
        3 => ParameterValue::Double(v.double_value),
        4 => ParameterValue::String(v.string_value),
        7 => ParameterValue::IntegerArray(v.integer_array_value),
        8 => ParameterValue::DoubleArray(v.double_array_value),
        9 => ParameterValue::StringArray(v.string_array_value),
        _ => return Err(format!("{}: no parameter has such a value", asked.name)),
    };
    Ok((asked.name.clone(), value))
}

fn serve<S: WrappedServiceTypeSupport + 'static>(
    node: &mut Node,
    name: &str,
    answer: impl Fn(&S::Request) -> S::Response + 'static,
) -> r2r::Result<Answer> {
    let mut requests = node.create_service::<S>(&format!("~/{name}"), QosProfile::services_default())?;
    Ok(Box::new(move || each(&mut requests, &answer)))
}

fn each<S: WrappedServiceTypeSupport + 'static>(
    requests: &mut (impl Stream<Item = ServiceRequest<S>> + Unpin),
    answer: &impl Fn(&S::Request) -> S::Response,
) {
    for _ in 0..BURST {
        let Some(Some(request)) = requests.next().now_or_never() else { return };
        let response = answer(&request.message);
        // Whoever asked and went away gets no answer.
        _ = request.respond(response);
    }
}

/// rcl_interfaces/msg/ParameterType.
fn value(of: &ParameterValue) -> msg::ParameterValue {
    let empty = msg::ParameterValue::default();
    match of.clone() {
        ParameterValue::Bool(bool_value) => msg::ParameterValue { type_: 1, bool_value, ..empty },
        ParameterValue::Integer(integer_value) => msg::ParameterValue { type_: 2, integer_value, ..empty },
        ParameterValue::Double(double_value) => msg::ParameterValue { type_: 3, double_value, ..empty },
        ParameterValue::String(string_value) => msg::ParameterValue { type_: 4, string_value, ..empty },
        ParameterValue::IntegerArray(integer_array_value) => {
            msg::ParameterValue { type_: 7, integer_array_value, ..empty }
        }
        ParameterValue::DoubleArray(double_array_value) => {
            msg::ParameterValue { type_: 8, double_array_value, ..empty }
        }
        ParameterValue::StringArray(string_array_value) => {
            msg::ParameterValue { type_: 9, string_array_value, ..empty }
        }
    }
}

fn descriptor(of: &Parameter) -> msg::ParameterDescriptor {
    let mut described = msg::ParameterDescriptor {
        name: of.name.clone(),
        type_: value(&of.value).type_,
        description: of.text.clone(),
        additional_constraints: of.settable.text().to_owned(),
        read_only: of.settable == Settable::AtStart,
        ..msg::ParameterDescriptor::default()
    };
    match (of.range, &of.value) {
        (Some([from, to]), ParameterValue::Integer(_)) => {
            described.integer_range = vec![msg::IntegerRange { from_value: from as i64, to_value: to as i64, step: 1 }];
        }
        (Some([from_value, to_value]), _) => {
            described.floating_point_range = vec![msg::FloatingPointRange { from_value, to_value, step: 0.0 }];
        }
        (None, _) => {}
    }
    described
}
