"""Django's users in a chat: log in, say something, log out. docs/identity.md says how to run it.

One file, to be read at once. In a project, settings, views and urls are where they always are.
"""

import os
import time
from pathlib import Path

import django
import jwt
from django.conf import settings
from django.core.management import call_command
from django.core.management.utils import get_random_secret_key
from django.http import FileResponse, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.cache import never_cache

LOGIN = """<!doctype html><title>Log in</title><link rel="icon" href="data:,">
<form method="post">{% csrf_token %}{{ form.as_p }}<button>Log in</button></form>"""

CHAT = """<!doctype html><title>Chat</title><link rel="icon" href="data:,">
<ul id="log"></ul>
<form id="say"><input name="message" placeholder="Message" autocomplete="off"><button>Send</button></form>
<form method="post" action="/logout">{% csrf_token %}<button>Log out</button></form>
<script src="/chat.js"></script>"""

settings.configure(
    SECRET_KEY=get_random_secret_key(),
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    LOGIN_URL="/login",
    LOGIN_REDIRECT_URL="/",
    LOGOUT_REDIRECT_URL="/login",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db"}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {"login.html": LOGIN, "chat.html": CHAT})]},
    }],
    CHAT_SECRET=Path(os.environ.get("CHAT_SECRET_FILE", "chat.secret")).read_text().rstrip("\n"),
)
django.setup()

from django.contrib.auth import views  # noqa: E402 (they need the settings)
from django.contrib.auth.decorators import login_required  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402


@login_required
def chat(request):
    return render(request, "chat.html")


def name_of(user):
    return user.get_full_name() or user.get_username()


@never_cache
def chat_token(request):
    """Who is signed in here, for the chat to believe. For the page's script alone."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    now = int(time.time())
    claims = {"sub": str(request.user.pk), "name": name_of(request.user), "iat": now, "exp": now + 300}
    return JsonResponse({"token": jwt.encode(claims, settings.CHAT_SECRET, algorithm="HS256")})


def chat_auth(request):
    """The same for Parlor itself (--auth-url), which asks with the cookie of whoever comes."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    return JsonResponse({"user": str(request.user.pk), "username": name_of(request.user)})


urlpatterns = [
    path("", chat),
    path("login", views.LoginView.as_view(template_name="login.html")),
    path("logout", views.LogoutView.as_view()),
    path("chat-token", chat_token),
    path("chat-auth", chat_auth),
    path("chat.js", lambda _: FileResponse((Path(__file__).parent / "../chat.js").open("rb"))),
]

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    for name in "ann", "bob":
        if not User.objects.filter(username=name).exists():
            User.objects.create_user(name, password=f"{name}-password", first_name=name.title())
    call_command("runserver", f"127.0.0.1:{os.environ.get('PORT', '3000')}", "--noreload")
