"""The chat on Django Channels, served by Daphne:

    python3 -m daphne -b 127.0.0.1 -p PORT chat:application

Fair to it: DEBUG off, and the in-memory channel layer, since one process is measured and Redis would
only add to the cost. The layer drops messages silently above its capacity (100 by default), so the
capacity is raised until nothing is dropped.
"""

import json

import django
from django.conf import settings

settings.configure(
    DEBUG=False,
    SECRET_KEY="benchmark",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "channels.layers.InMemoryChannelLayer",
            "CONFIG": {"capacity": 100000},
        }
    },
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402


class Chat(AsyncWebsocketConsumer):
    async def connect(self):
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive(self, text_data=None, bytes_data=None):
        sent = json.loads(text_data)
        text = json.dumps({"message": sent["message"], "username": sent["username"]})
        await self.channel_layer.group_send(self.room, {"type": "chat.message", "text": text})

    async def chat_message(self, event):
        await self.send(text_data=event["text"])


application = ProtocolTypeRouter(
    {"websocket": URLRouter([path("ws/chat/<str:room>/", Chat.as_asgi())])}
)
