"""The tabs of the panes, where what is asked for last is what is shown."""

from __future__ import annotations

from textual.widgets import TabbedContent, TabPane, Tabs


class Panes(TabbedContent):
    """Textual takes a pane for active again when an older message comes late: the tab's that was
    active at the start, or of a widget there that had the focus. On a busy machine a key would then
    do nothing."""

    def _on_tab_pane_focused(self, event: TabPane.Focused) -> None:
        event.stop()
        event.prevent_default()

    def _on_tabs_tab_activated(self, event: Tabs.TabActivated) -> None:
        if event.tab.id != event.tabs.active:
            event.stop()
            event.prevent_default()
