"""FrankaKitchen: the twelve tasks of the VIP paper on gymnasium-robotics' model."""
