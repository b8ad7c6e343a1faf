"""What bench/cleaning_speed.py runs in processes of their own, and the pictures it runs them on."""
