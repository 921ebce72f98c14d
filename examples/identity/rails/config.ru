# Users of a Rails app in a chat: log in, say something, log out. docs/identity.md says how to run it.
#
# One file, to be read at once. In an app, the controller, its views and the routes are where they always are.
require "action_controller/railtie"
require "jwt"

USERS = [
  { id: 1, login: "ann", name: "Ann", password: "ann-password" },
  { id: 2, login: "bob", name: "Bob", password: "bob-password" }
].freeze

class Site < Rails::Application
  config.load_defaults Rails::VERSION::STRING.to_f
  config.root = __dir__
  config.eager_load = false
  config.secret_key_base = SecureRandom.hex(64)
  config.logger = Logger.new($stderr)
  config.log_level = :warn
  config.filter_parameters += [:password]
  # Sessions at the server, so that a log-out ends them; those of the cookie store live on in a copy of the cookie.
  config.cache_store = :memory_store
  config.session_store :cache_store, key: "_site_session", same_site: :lax
  config.x.chat_secret = File.read(ENV.fetch("CHAT_SECRET_FILE", "chat.secret")).chomp

  routes.append do
    root "chat#show"
    get "login" => "sessions#new"
    post "login" => "sessions#create"
    post "logout" => "sessions#destroy"
    get "chat-token" => "chat#token"
    get "chat-auth" => "chat#auth"
    get "chat.js" => "chat#script"
  end
  initialize!
end

class ApplicationController < ActionController::Base
  private

  def current_user
    @current_user ||= USERS.find { |user| user[:id] == session[:user_id] }
  end
end

class SessionsController < ApplicationController
  LOGIN = <<~HTML.freeze
    <!doctype html><title>Log in</title><link rel="icon" href="data:,">
    <%= form_with url: "/login", local: true do |form| %>
      <%= form.text_field :username %><%= form.password_field :password %><%= form.button "Log in" %>
    <% end %>
  HTML

  def new
    render inline: LOGIN
  end

  def create
    user = USERS.find { |one| one[:login] == params[:username] && one[:password] == params[:password] }
    return render inline: LOGIN, status: :forbidden unless user

    reset_session
    session[:user_id] = user[:id]
    redirect_to "/"
  end

  def destroy
    reset_session
    redirect_to "/login"
  end
end

class ChatController < ApplicationController
  CHAT = <<~HTML.freeze
    <!doctype html><title>Chat</title><link rel="icon" href="data:,">
    <ul id="log"></ul>
    <form id="say"><input name="message" placeholder="Message" autocomplete="off"><button>Send</button></form>
    <%= button_to "Log out", "/logout" %>
    <script src="/chat.js"></script>
  HTML

  # A script that anybody may have, also with a tag of another site's.
  skip_forgery_protection only: :script

  def show
    current_user ? render(inline: CHAT) : redirect_to("/login")
  end

  # Who is signed in here, for the chat to believe. For the page's script alone.
  def token
    response.headers["Cache-Control"] = "no-store"
    return head :unauthorized unless current_user

    claims = { sub: current_user[:id].to_s, name: current_user[:name], iat: Time.now.to_i,
               exp: 5.minutes.from_now.to_i }
    render json: { token: JWT.encode(claims, Rails.configuration.x.chat_secret, "HS256") }
  end

  # The same for Parlor itself (--auth-url), which asks with the cookie of whoever comes.
  def auth
    return head :unauthorized unless current_user

    render json: { user: current_user[:id].to_s, username: current_user[:name] }
  end

  def script
    send_file File.join(__dir__, "../chat.js"), type: "text/javascript", disposition: :inline
  end
end

run Site
