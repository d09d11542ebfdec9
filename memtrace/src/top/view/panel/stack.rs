//! The selected call stack, one frame per line.

use ratatui::layout::Rect;

use super::{Painter, paint::row};
use crate::{
    snapshot::ProcessRow,
    text,
    top::{
        rows::{Data, ProcessId, RowId, frame, stack_id, stacks},
        theme::Role,
    },
};

pub(super) fn panel(
    data: &Data,
    process: &ProcessRow,
    selected: Option<&RowId>,
    painter: &mut Painter<'_>,
    area: Rect,
) {
    let inside = painter
        .frame(area, &format!(" {} {}: the selected stack, innermost first ", process.comm, process.pid));
    let id = ProcessId::of(process);
    let Some(stack) = stacks(data, process).iter().find(|stack| selected == Some(&stack_id(id, stack)))
    else {
        return;
    };
    for (line, of) in (0..inside.height).zip(&stack.frames) {
        let line_area = row(inside, line);
        let name = text::keep_start(&frame(of), usize::from(inside.width * 2 / 3), painter.theme.gap());
        let x = painter.put(line_area, inside.x, &format!("{line:>2} "), Role::Faint);
        let x = painter.put(line_area, x, &name, Role::Strong);
        let module = of.module.as_deref().unwrap_or(&of.address);
        painter.put(line_area, x + 2, module, Role::Faint);
    }
}
