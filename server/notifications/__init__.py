"""Notifications: letters in the reader's language, reminders, calendar files, the inbox of the demo."""

from server.notifications.calendar_file import calendar_file
from server.notifications.events import NotificationQueued
from server.notifications.models import Content, Letter, Meeting
from server.notifications.remind import drop_reminders, plan_reminders, send_due_reminders
from server.notifications.send import Notification, Opened, deliver
from server.notifications.sent import inbox
from server.notifications.write import calendar_of, meeting_of, write_letter

__all__ = [
    "Content",
    "Letter",
    "Meeting",
    "Notification",
    "NotificationQueued",
    "Opened",
    "calendar_file",
    "calendar_of",
    "deliver",
    "drop_reminders",
    "inbox",
    "meeting_of",
    "plan_reminders",
    "send_due_reminders",
    "write_letter",
]
