//! The trigger, its request and its stacks.
//!
//! The trigger, its stacks and the request -> a block.

use super::victim::process;
use crate::{
    oom::record::{Frame, OomRecord, circumstances::Request},
    report::{describe::who, document::Block, stack},
};

pub(super) fn trigger(record: &OomRecord) -> Block {
    let OomRecord { trigger, victim, kernel_stack, user_stack, circumstances, .. } = record;
    let mut block = Block::new(if stack::is_by_hand(record) || stack::is_limit_write(record) {
        "Trigger: the task that was running"
    } else {
        "Trigger: the task whose allocation failed"
    });
    if trigger.task.is_unknown() {
        block.doubt("process", who(&trigger.task));
    } else if trigger.is_victim && trigger.task.tid == victim.task.tid {
        block.field("process", "the victim itself");
    } else if trigger.is_victim {
        block.field("process", format!("the victim itself, {}", who(&trigger.task)));
    } else {
        process(&mut block, record, &trigger.task, "");
    }
    if let Some(request) = &circumstances.request {
        asked(&mut block, request);
    }
    frames(&mut block, "kernel stack", stack::kernel(kernel_stack), kernel_stack);
    frames(&mut block, "user stack", user_stack, user_stack);
    block
}

fn asked(block: &mut Block, request: &Request) {
    let Request { order, gfp_mask, constraint, grade } = request;
    let order =
        order.map(|order| match u32::try_from(order).ok().and_then(|order| 1_u64.checked_shl(order)) {
            Some(1) => "1 page (order 0)".to_owned(),
            Some(pages) => format!("{pages} pages (order {order})"),
            None => format!("no pages: a kill (order {order})"),
        });
    let flags = gfp_mask.as_ref().map(|mask| format!("gfp flags {mask}"));
    let constraint = constraint.as_ref().map(|constraint| format!("constraint {constraint}"));
    let parts: Vec<String> = [order, flags, constraint].into_iter().flatten().collect();
    if !parts.is_empty() {
        let grade = grade.map_or_else(String::new, |grade| format!(" ({grade})"));
        block.field("requested", format!("{}{grade}", parts.join(", ")));
    }
}

fn frames(block: &mut Block, name: &str, shown: &[Frame], recorded: &[Frame]) {
    match (shown, recorded) {
        ([], []) => block.field(name, "unknown: no frames were recorded"),
        ([], _) => block.field(name, "unknown: only the tracer's own frames were recorded"),
        _ => block.lines(name, stack::lines(shown)),
    }
}
