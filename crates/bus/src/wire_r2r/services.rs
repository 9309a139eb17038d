//! The six parameter services of a ROS node, answered from what is fixed since the start. (r2r has some of its own; they let anybody
//! set anything.)

use crate::parameters::{Parameter, ParameterValue, Parameters, READ_ONLY};
use futures_util::{FutureExt, Stream, StreamExt};
use r2r::{
    Node, QosProfile, ServiceRequest, WrappedServiceTypeSupport,
    rcl_interfaces::{msg, srv},
};
use std::sync::Arc;

/// Requests answered after one spin, per service.
const BURST: usize = 10;

/// Answers what was asked since the last call.
pub(super) type Answer = Box<dyn FnMut()>;

/// Offers the services on the node.
pub(super) fn offer(node: &mut Node, parameters: Parameters) -> r2r::Result<Vec<Answer>> {
    let all = Arc::new(parameters);
    let of = || all.clone();
    Ok(vec![
        serve::<srv::ListParameters::Service>(node, "list_parameters", {
            let all = of();
            move |asked| {
                let (names, prefixes) = all.list(&asked.prefixes, asked.depth);
                srv::ListParameters::Response { result: msg::ListParametersResult { names, prefixes } }
            }
        })?,
        serve::<srv::GetParameters::Service>(node, "get_parameters", {
            let all = of();
            let value = move |name: &String| all.get(name).map(|p| value(&p.value)).unwrap_or_default();
            move |asked| srv::GetParameters::Response { values: asked.names.iter().map(&value).collect() }
        })?,
        serve::<srv::GetParameterTypes::Service>(node, "get_parameter_types", {
            let all = of();
            let kind = move |name: &String| all.get(name).map_or(0, |p| value(&p.value).type_);
            move |asked| srv::GetParameterTypes::Response { types: asked.names.iter().map(&kind).collect() }
        })?,
        serve::<srv::DescribeParameters::Service>(node, "describe_parameters", {
            let all = of();
            let described = move |name: &String| all.get(name).map(descriptor).unwrap_or_default();
            move |asked| srv::DescribeParameters::Response { descriptors: asked.names.iter().map(&described).collect() }
        })?,
        serve::<srv::SetParameters::Service>(node, "set_parameters", |asked| srv::SetParameters::Response {
            results: asked.parameters.iter().map(|p| refused(&p.name)).collect(),
        })?,
        serve::<srv::SetParametersAtomically::Service>(node, "set_parameters_atomically", |asked| {
            let names: Vec<_> = asked.parameters.iter().map(|p| p.name.as_str()).collect();
            srv::SetParametersAtomically::Response { result: refused(&names.join(", ")) }
        })?,
    ])
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

fn refused(name: &str) -> msg::SetParametersResult {
    msg::SetParametersResult { successful: false, reason: format!("{name} {READ_ONLY}") }
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
        read_only: true,
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
