"""Notifications: letters by mail, SMS and push in the reader's language, reminders, calendar files, the inbox."""

from server.notifications.calendar_file import calendar_file
from server.notifications.devices import (
    AddDevice,
    Device,
    DeviceAsk,
    DeviceKeys,
    Devices,
    EndpointRefused,
    add_device,
    forget_devices,
    is_push_service,
    list_devices,
    push_key,
    remove_device,
)
from server.notifications.events import NotificationQueued
from server.notifications.models import Content, Letter, Meeting, Message, OfferedTime, Outcome, State
from server.notifications.providers import TryAgain, is_public
from server.notifications.quiet import quiet_until
from server.notifications.remind import drop_reminders, plan_reminders, send_due_reminders
from server.notifications.report import SmsReport, take_report
from server.notifications.routes import routes
from server.notifications.send import Notification, Opened, deliver, send_again
from server.notifications.sent import inbox
from server.notifications.sms import twilio_signature
from server.notifications.web_push import BrowserKeys, WrongKeys, base64url, own_key, point_of, seal_for, unbase64
from server.notifications.write import calendar_of, meeting_of, write_letter

__all__ = [
    "AddDevice",
    "BrowserKeys",
    "Content",
    "Device",
    "DeviceAsk",
    "DeviceKeys",
    "Devices",
    "EndpointRefused",
    "Letter",
    "Meeting",
    "Message",
    "Notification",
    "NotificationQueued",
    "OfferedTime",
    "Opened",
    "Outcome",
    "SmsReport",
    "State",
    "TryAgain",
    "WrongKeys",
    "add_device",
    "base64url",
    "calendar_file",
    "calendar_of",
    "deliver",
    "drop_reminders",
    "forget_devices",
    "inbox",
    "is_public",
    "is_push_service",
    "list_devices",
    "meeting_of",
    "own_key",
    "plan_reminders",
    "point_of",
    "push_key",
    "quiet_until",
    "remove_device",
    "routes",
    "seal_for",
    "send_again",
    "send_due_reminders",
    "take_report",
    "twilio_signature",
    "unbase64",
    "write_letter",
]
