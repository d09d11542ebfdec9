//! Names of the victim's container, the trigger's, and the owner of the limit.
//!
//! Names -> a block; none without names.

use crate::{container::name::Name, oom::record::OomRecord, report::document::Block};

pub(super) fn names(record: &OomRecord) -> Option<Block> {
    let circumstances = &record.circumstances;
    let mut block = Block::new("Container");
    if let Some(name) = &circumstances.container {
        whole(&mut block, name);
    }
    if let Some(name) = &circumstances.limit_owner_name
        && circumstances.limit_owner_name != circumstances.container
    {
        block.known("limit owner", name.label());
    }
    block.known("trigger in", circumstances.trigger_container.as_ref().and_then(Name::label));
    (!block.items.is_empty()).then_some(block)
}

fn whole(block: &mut Block, name: &Name) {
    let Name { namespace, pod, pod_uid, container, container_id, image, restart, unit, runtime, source } =
        name;
    block.known("namespace", namespace.as_deref());
    block.known("pod", pod.as_deref());
    block.known("pod uid", pod_uid.as_deref());
    block.known("container", container.as_deref());
    block.known("container id", container_id.as_deref());
    block.known("image", image.as_deref());
    block.known("restarts", *restart);
    block.known("unit", unit.as_deref());
    block.known("runtime", runtime.as_deref());
    block.known("named by", source.as_deref());
}
