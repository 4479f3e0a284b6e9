"""Sign-in: users, sessions and the wards each user may see, all verified by the broker.

Imports `vitals`, `mqtt` and the rest of `station` that it serves. It has no main loop: `middleware.AuthMiddleware` runs
per request, and `user_connection.UserConnection` keeps one broker connection per signed-in user.
"""
