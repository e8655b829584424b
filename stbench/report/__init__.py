"""What people read: tables and the leaderboard."""
